/**
 * A list of messages: the newest at the bottom, the last 500 kept, drawn once
 * a frame however many arrive; can be paused and cleared, and shows its rate.
 */
import { h, setText } from "./dom.js";
import { clip, clock, plural, rate, readable } from "./format.js";

const KEPT = 500;

const MARKS = { in: "←", out: "→", note: "·", warn: "!" };
const SPOKEN = { in: "received", out: "sent", note: "note", warn: "warning" };

export class Messages {
	#waiting = [];
	#paused = false;
	#drawing = 0;
	#timer = 0;
	#total = 0;
	#recent = [];
	#list;
	#summary = h("span", { class: "muted figures-text" });
	#pause = h("button", { type: "button", class: "quiet", "aria-pressed": "false",
		onclick: () => this.#togglePause() }, "Pause");

	/** live: "polite" where messages are few and answer the reader. */
	constructor(label, { live = "off", empty = "No messages yet." } = {}) {
		this.#list = h("div", { class: "messages", tabindex: "0", role: "log", "aria-label": label,
			"aria-live": live, "data-empty": empty });
		this.element = h("div", { class: "stream" },
			h("div", { class: "bar" }, this.#summary, this.#pause,
				h("button", { type: "button", class: "quiet", onclick: () => this.clear() }, "Clear")),
			this.#list);
		this.#summarise();
	}

	/**
	 * kind: "in", "out", "note" or "warn"; data: text or an ArrayBuffer; tag: a
	 * word before it, such as the topic.
	 */
	add(kind, data, tag) {
		if (kind === "in" || kind === "out") {
			this.#total++;
			this.#recent.push(performance.now());
			if (this.#recent.length > 20000)
				this.#recent.splice(0, 10000);
		}
		this.#waiting.push({ kind, data, tag, at: new Date() });
		if (this.#waiting.length > KEPT)
			this.#waiting.shift();
		this.#timer ||= setTimeout(() => this.#summarise(), 500);
		if (!this.#paused)
			this.#drawing ||= requestAnimationFrame(() => this.#draw());
	}

	clear() {
		this.#waiting = [];
		this.#total = 0;
		this.#list.replaceChildren();
		this.#summarise();
	}

	#togglePause() {
		this.#paused = !this.#paused;
		this.#pause.setAttribute("aria-pressed", String(this.#paused));
		setText(this.#pause, this.#paused ? "Resume" : "Pause");
		if (!this.#paused)
			this.#draw();
		this.#summarise();
	}

	#draw() {
		this.#drawing = 0;
		const list = this.#list;
		const follows = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
		list.append(...this.#waiting.splice(0).map(row));
		while (list.childElementCount > KEPT)
			list.firstElementChild.remove();
		if (follows)
			list.scrollTop = list.scrollHeight;
	}

	/** Again every half second, for as long as messages come. */
	#summarise() {
		clearTimeout(this.#timer);
		const since = performance.now() - 2000;
		const at = this.#recent.findIndex((t) => t >= since);
		this.#recent.splice(0, at < 0 ? this.#recent.length : at);
		const held = this.#paused && this.#waiting.length
			? `, ${this.#waiting.length} held back` : "";
		setText(this.#summary,
			`${plural(this.#total, "message")}, ${rate(this.#recent.length / 2)}/s${held}`);
		this.#timer = this.#recent.length ? setTimeout(() => this.#summarise(), 500) : 0;
	}
}

function row({ kind, data, tag, at }) {
	const text = clip(typeof data === "string" ? data : readable(data));
	return h("p", { class: kind },
		h("time", { class: "muted" }, clock(at)),
		h("span", { class: "mark", role: "img", "aria-label": SPOKEN[kind] }, MARKS[kind]),
		h("span", { class: "text" }, tag ? h("b", { class: "tag" }, tag) : null, text));
}
