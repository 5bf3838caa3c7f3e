/** Puts the page together and keeps it as the gateway says it is. */
import { h, icon, setText } from "./dom.js";
import { rate } from "./format.js";
import { Card, anchor, health, shape } from "./card.js";
import { Figures } from "./figures.js";
import { Status } from "./status.js";

const find = (id) => document.getElementById(id);
const status = new Status(document.documentElement.dataset.status);
const figures = new Figures(find("figures"));
/** Per path: its card, and its row in the list of locations. */
let cards = new Map();
const rows = new Map();

const SPOKEN = { ok: "peers connected", bad: "a peer is missing", idle: "nobody connected", "": "" };

function navRow(l) {
	const dot = h("span", { class: "dot", role: "img" });
	const speed = h("span", { class: "muted" });
	const element = h("li", {}, h("a", { href: `#${encodeURI(anchor(l.path))}` }, icon(l.bridge),
		h("span", { class: "path" }, l.path), speed, dot));
	return { element, dot, speed };
}

function updateRow({ dot, speed }, l) {
	const state = health(l);
	const per = status.rate(l.path, "requests") + status.rate(l.path, "ws_delivered");
	dot.dataset.state = state;
	dot.setAttribute("aria-label", SPOKEN[state]);
	dot.title = SPOKEN[state];
	setText(speed, per > 0 ? `${rate(per)}/s` : "");
}

/** Keeps the cards of locations that are as they were, with what was typed into them. */
function arrange(entries) {
	const next = new Map();
	for (const l of entries) {
		let card = cards.get(l.path);
		if (card && card.shape !== shape(l)) {
			card.remove();
			card = null;
		}
		next.set(l.path, card || new Card(l, status));
	}
	for (const [path, card] of cards)
		if (!next.has(path))
			card.remove();
	cards = next;
	rows.clear();
	for (const l of entries)
		rows.set(l.path, navRow(l));
	find("nav").replaceChildren(...[...rows.values()].map((r) => r.element));
	find("main").append(...[...cards.values()].map((c) => c.element));
	if (location.hash)
		find(decodeURI(location.hash.slice(1)))?.scrollIntoView();
}

/** Where port 0 was asked for, the page knows better. */
function realPort(address) {
	return address.replace(/:0(?=\s|$)/, `:${location.port}`);
}

let arranged = "";

status.addEventListener("update", () => {
	const { version, listen = [], draining } = status.latest;
	setText(find("version"), version);
	setText(find("listen"), `listening on ${listen.map(realPort).join(", ")}`);
	show(draining ? "wait" : "ok", draining ? "stopping" : "running");
	const wanted = status.entries.map(shape).join();
	if (wanted !== arranged)
		arrange(status.entries);
	arranged = wanted;
	figures.update(status);
	for (const l of status.entries) {
		cards.get(l.path).update(l, status);
		updateRow(rows.get(l.path), l);
	}
	document.body.dataset.ready = "";
});

status.addEventListener("lost", (e) => show("bad", "not answering", e.detail));

/** The state in the corner, and the notice when something is wrong. */
function show(state, text, detail = "") {
	const pill = find("health");
	pill.dataset.state = state;
	setText(pill, text);
	setText(find("notice"), detail);
	find("notice").hidden = !detail;
	document.body.classList.toggle("stale", state === "bad");
}

status.start();
