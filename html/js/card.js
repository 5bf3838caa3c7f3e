/** One location: what it is, how it is doing, a form to try it, lines to copy. */
import { copy, h, icon, setText, uid } from "./dom.js";
import { bytes, compact, count, duration, label, micros, rate } from "./format.js";
import { clientSnippets, peerSnippets, rivals } from "./snippets.js";
import { reqrepForm } from "./reqrep.js";
import { pubsubForm } from "./pubsub.js";
import { pipelineForm } from "./pipeline.js";
import { pairForm } from "./pair.js";
import { SERVICE } from "./status.js";

const FORMS = {
	reqrep: reqrepForm, pubsub: pubsubForm, pipeline: pipelineForm, pair: pairForm,
};

/** Where there is nothing to fill in: links, and the lines to copy beside them. */
const LINKS = {
	status: (l) => ["", "/metrics", "/live", "/ready"].map((below) => l.path + below),
};

/** Shown at once, where the location has them; all the others on request. */
const FIRST = {
	reqrep: ["requests", "waiting", "outstanding", "answered", "timed_out", "worker_lost"],
	pubsub: ["ws_open", "ws_delivered", "ws_dropped", "received", "published", "subscriptions"],
	pipeline: ["uploads", "queued", "handed_over", "results", "pending", "ws_open"],
	pair: ["ws_open", "to_peer", "from_peer"],
	other: ["requests", "status_4xx", "status_5xx"],
};

const SENDERS = ["PUB", "PUSH"], RECEIVERS = ["SUB", "PULL"];

/** The element's id for a path; also what the list of locations links to. */
export function anchor(path) {
	return `at${path}`;
}

/** What must stay the same for a card to stay: else it is built anew. */
export function shape(l) {
	return JSON.stringify([l.path, l.exact, l.bridge, l.methods,
		l.sockets.map((s) => [s.directive, s.type, s.bound, s.endpoints])]);
}

/** "ok", "bad" (nobody there), "idle" (nobody there, and nothing is missing: a PUB without subscribers). */
function socketHealth(s) {
	return s.peers > 0 ? "ok" : s.type === "PUB" ? "idle" : "bad";
}

/** The worst of a location's sockets; "" without any. */
export function health(l) {
	const all = l.sockets.map(socketHealth);
	return ["bad", "ok", "idle"].find((state) => all.includes(state)) || "";
}

export class Card {
	constructor(l, status) {
		const title = uid("title");
		this.path = l.path;
		this.shape = shape(l);
		this.form = FORMS[l.bridge]?.(l, status);
		this.sockets = h("ul", { class: "sockets" });
		this.first = h("dl", { class: "counters" });
		this.all = h("dl", { class: "counters all" });
		this.times = h("p", { class: "muted small" }, "");
		this.element = h("section", { class: "card", id: anchor(l.path), "aria-labelledby": title,
			"data-bridge": l.bridge },
			h("header", {}, icon(l.bridge), h("h2", { id: title }, l.path),
				h("span", { class: "badge" }, l.bridge),
				h("span", { class: "muted" }, [l.exact ? "this path only" : "",
					l.methods.filter((m) => m !== "HEAD" && m !== "OPTIONS").join(", ")]
					.filter(Boolean).join(" · "))),
			h("div", { class: "halves" },
				h("div", { class: "half" }, this.form ? this.form.element
					: [about(l), clientSnippets(l).map(snippet)]),
				h("div", { class: "half facts" },
					l.sockets.length ? h("h3", {}, "Sockets") : null, this.sockets,
					h("h3", {}, "Counters"), this.first, this.times,
					h("details", {}, h("summary", {}, "All counters"), this.all),
					this.form ? snippets(l, status) : null)));
		this.update(l, status);
	}

	/** Puts new figures in. */
	update(l, status) {
		if (this.sockets.childElementCount !== l.sockets.length)
			this.sockets.replaceChildren(...l.sockets.map(socketRow));
		l.sockets.forEach((s, i) => updateSocket(this.sockets.children[i], s));
		const names = Object.keys(l.counters);
		const first = l.bridge === SERVICE ? names.slice(0, 6) : FIRST[l.bridge] || FIRST.other;
		counters(this.first, first.filter((name) => names.includes(name)), l, status);
		counters(this.all, names, l, status);
		setText(this.times, times(l));
	}

	remove() {
		this.form?.stop?.();
		this.element.remove();
	}
}

function about(l) {
	if (l.bridge === SERVICE)
		return h("p", { class: "muted" }, "A service: it runs inside the gateway, beside the locations.");
	return h("ul", { class: "links" },
		(LINKS[l.bridge]?.(l) || [l.path]).map((p) => h("li", {}, h("a", { href: p }, p))));
}

/** "answered: half within 1 ms, 99 % within 5 ms · …" */
function times(l) {
	return [["request_time", "answered"], ["waiting_time", "waited"], ["worker_time", "worked on"]]
		.filter(([name]) => l.times?.[name]?.count)
		.map(([name, verb]) => {
			const { p50, p99 } = l.times[name].at_most_us;
			return `${verb}: half within ${micros(p50)}, 99 % within ${micros(p99)}`;
		}).join(" · ");
}

/** Where a socket has several endpoints: what each is. */
function endpointList(s) {
	return s.states?.length > 1 ? s.states.map((e) => h("li", {}, h("code", {}, e.endpoint), h("span", {}, "")))
		: [];
}

/** " for 3 min", where it says something */
function since(e) {
	return e.since_ms >= 1000 ? ` for ${duration(e.since_ms)}` : "";
}

function socketRow(s) {
	const verb = /\b(bind|connect)\b/.test(s.endpoints) ? "" : s.bound ? "bind " : "connect ";
	return h("li", {},
		h("p", {}, h("b", {}, s.directive), " = ", h("code", {}, verb + s.endpoints)),
		h("p", { class: "state" }, s.state),
		h("p", { class: "muted small" }, ""),
		h("ul", { class: "endpoints small" }, endpointList(s)));
}

function updateSocket(row, s) {
	const [, state, figures, list] = row.children;
	state.dataset.state = socketHealth(s);
	setText(state, s.state + (s.states?.length === 1 ? since(s.states[0]) : ""));
	if (list.childElementCount)
		s.states.forEach((e, i) => setText(list.children[i].lastElementChild, ` ${e.detail}${since(e)}`));
	setText(figures, [s.type,
		RECEIVERS.includes(s.type) ? "" : `${compact(s.sent)} sent`,
		SENDERS.includes(s.type) ? "" : `${compact(s.received)} received`,
		s.discarded ? `${compact(s.discarded)} discarded` : "",
		s.disconnects ? `${compact(s.disconnects)} disconnected` : "",
		s.handshakes_failed ? `${compact(s.handshakes_failed)} failed handshakes` : "",
	].filter(Boolean).join(" · "));
}

function counters(dl, names, l, status) {
	if (dl.childElementCount !== names.length)
		dl.replaceChildren(...names.map((name) =>
			h("div", {}, h("dt", {}, label(name)), h("dd", {}, ""))));
	names.forEach((name, i) => {
		const value = l.counters[name];
		const change = status.rate(l.path, name);
		const shown = name.includes("bytes") ? bytes(value) : count(value);
		setText(dl.children[i].lastElementChild,
			change > 0 && !name.includes("bytes") && !isGauge(name) ? `${shown} · ${rate(change)}/s` : shown);
	});
}

function isGauge(name) {
	return /(^|_)(open|flight|queued|waiting|outstanding|abandoned|pending|held|limit)($|_)/.test(name);
}

function snippets(l, status) {
	const peers = peerSnippets(l);
	const taken = rivals(l, status.latest.services || []);
	return h("div", { class: "snippets" }, h("h3", {}, "From elsewhere"),
		clientSnippets(l).map(snippet),
		peers.length ? h("details", {}, h("summary", {}, "A ZeroMQ peer, with pyzmq"),
			taken.length ? h("p", { class: "small muted" }, `The service ${taken.join(", ")} plays it now and ` +
				"is bound there: take it out of the configuration first.") : null,
			peers.map(snippet)) : null);
}

function snippet({ name, text }) {
	const title = h("span", { class: "muted", id: uid("snippet") }, name);
	const button = h("button", { type: "button", class: "quiet", id: uid("copy"),
		onclick: () => copy(text, button) }, "Copy");
	button.setAttribute("aria-labelledby", `${button.id} ${title.id}`);
	return h("div", { class: "snippet" },
		h("div", { class: "bar" }, title, button),
		h("pre", { tabindex: "0", role: "group", "aria-label": name }, h("code", {}, text)));
}
