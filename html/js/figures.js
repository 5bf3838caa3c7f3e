/** The strip of figures on top: the gateway as a whole. */
import { h, setText, svg } from "./dom.js";
import { bytes, compact, duration, rate } from "./format.js";

const WIDTH = 60, HEIGHT = 20;

const DROPS = ["ws_dropped", "ws_dropped_left", "ws_dropped_memory"];

/** label, its value, and the history to chart beside it */
const FIGURES = [
	["Requests", (s) => `${rate(s.sumRate("requests"))}/s`, "requests"],
	["In flight", (s) => compact(s.sum("in_flight"))],
	["WebSockets", (s) => compact(s.sum("ws_open"))],
	["Delivered", (s) => `${rate(s.sumRate("ws_delivered"))}/s`, "ws_delivered"],
	["Dropped", (s) => compact(DROPS.reduce((n, name) => n + s.sum(name), 0))],
	["Uptime", (s) => duration(s.latest.uptime_ms)],
	["Memory", (s) => bytes(s.latest.memory_bytes)],
	["Descriptors", (s) => compact(s.latest.descriptors)],
];

export class Figures {
	constructor(list) {
		this.rows = FIGURES.map(([name, value, chart]) => {
			const line = chart ? svg("polyline", {}) : null;
			const shown = h("span", {}, "–");
			list.append(h("div", {}, h("dt", {}, name), h("dd", {}, shown,
				line ? svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
					preserveAspectRatio: "none", "aria-hidden": "true" }, line) : null)));
			return { value, chart, line, shown };
		});
	}

	update(status) {
		for (const { value, chart, line, shown } of this.rows) {
			setText(shown, value(status));
			line?.setAttribute("points", points(status.history[chart]));
		}
	}
}

function points(values) {
	const top = Math.max(...values, 1);
	const step = WIDTH / (values.length - 1);
	return values.map((v, i) => `${(step * i).toFixed(1)},` +
		`${(HEIGHT - 1 - (HEIGHT - 2) * v / top).toFixed(1)}`).join(" ");
}
