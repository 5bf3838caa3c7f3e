/**
 * Publish and subscribe from a page, a Web Worker or Node (22 or later) over a
 * pubsub location of zgate:
 *
 *     import { connect } from "/zgate.js";
 *     const prices = connect("/prices");
 *     const sub = prices.subscribe("A", ({ topic, data }) => console.log(topic, data));
 *     await prices.publish("A", "17");
 *     sub.unsubscribe();
 *     prices.close();
 *
 * It connects when first needed and again, for as long as it takes, whenever
 * the connection is lost; it then resumes where it was, so that each callback
 * gets each message once. Where messages could not be had any more, onGap says
 * so. WebSocket (zgate.v1) is what it uses; where only plain HTTP gets through,
 * Server-Sent Events and POST. It needs no other file.
 */

const PROTOCOL = "zgate.v1";
const QUERY_MAX = 4000;       // characters of topics in a URL, and
const TOPICS_MAX = 256;       // how many; more are asked for one by one
const QUEUE_MAX = 1000;       // publications that wait for a connection or an answer
const WAIT_MIN = 250;         // ms; doubles with every failure; a random part of it is waited
const WAIT_MAX = 30000;
const STABLE = 10000;         // ms; a connection that lasted that long was none of the failures
const OPENING = 10000;        // ms that a handshake may take
const TOPIC_MAX = 512;        // bytes that a topic may be long

/**
 * @typedef {object} Message
 * @property {string} topic what the publisher published it under
 * @property {string | Uint8Array} data text; bytes where it is not UTF-8
 * @property {string} cursor its place in the sequence of messages
 */

/**
 * @typedef {object} Handlers all of them optional
 * @property {(missed: number | null) => void} onGap messages were lost to this page: how many at
 *   most (some may have had other topics), null where that is not known: the gateway was restarted
 * @property {(error: ZgateError) => void} onError the gateway refused the topic; where
 *   error.permanent the subscription has ended, else it is asked for again
 */

/**
 * @typedef {object} Subscription
 * @property {Promise<void>} ready the gateway sends its messages from now on; rejects with a
 *   ZgateError where it will not
 * @property {() => void} unsubscribe no more calls, from this moment on
 */

/**
 * @typedef {object} Options
 * @property {number} [heartbeat=20000] ms of silence after which the connection is tested
 * @property {number} [timeout=10000] ms that publish() waits for a connection
 */

/** What was refused or has failed. */
export class ZgateError extends Error {
	name = "ZgateError";

	/**
	 * @param {string} code the gateway's ("forbidden", "bad_request", "too_many",
	 *   "not_configured", "unavailable"), or "refused" (the connection was), "offline" (there was
	 *   none in time), "unknown" (it was lost before the answer), "too_large", "closed" (by close())
	 * @param {string} detail a sentence
	 * @param {boolean} permanent whether trying the same again is of no use
	 */
	constructor(code, detail, permanent = false) {
		super(detail);
		this.code = code;
		this.permanent = permanent;
	}
}

/**
 * @param {string | URL} where the location: a path of the page's own origin, or a URL (http, https,
 *   ws, wss), which Node always needs
 * @param {Options} [options]
 * @returns {Client} at once; nothing is sent before the first subscribe() or publish()
 */
export function connect(where, options = {}) {
	return new Client(where, options);
}

/**
 * A location; made by connect(). Its events, each a CustomEvent:
 * - "state": detail has {state, transport} and, for "waiting", {wait, reason};
 * - "gap": detail has {missed}, as onGap;
 * - "error": detail is a ZgateError: a subscription or a connection was refused.
 */
export class Client extends EventTarget {
	/** @type {"idle" | "connecting" | "open" | "waiting" | "closed"} */
	state = "idle";
	/** @type {"websocket" | "sse" | null} how it is connected */
	transport = null;

	#url;
	#heartbeat;
	#timeout;
	#topics = new Map();    // topic -> Topic
	#cursor;                // up to here, all was received of the topics that are joined
	#queue = [];            // publications that are not sent yet
	#calls = new Map();     // id -> {done, failed}: what the gateway has to answer
	#asking = 0;            // subscriptions among these
	#id = 0;
	#link = null;           // the connection, or the attempt at one
	#running = false;
	#hurry = null;          // ends the waiting soon
	#blocked = false;       // HTTP was answered where a WebSocket was not
	#bare = false;          // no topics in the WebSocket's URL: one of them may be refused
	#careful = false;       // new topics one at a time, over SSE: one of them is refused
	#posting = false;
	#life = new AbortController();

	/** @private use connect() */
	constructor(where, { heartbeat = 20000, timeout = 10000 }) {
		super();
		this.#url = new URL(where, globalThis.location?.href);
		this.#url.protocol = this.#url.protocol.replace(/^ws/, "http");
		this.#url.hash = "";
		this.#heartbeat = heartbeat;
		this.#timeout = timeout;
		const { signal } = this.#life;
		const nudge = () => globalThis.document?.hidden || this.#nudge();
		globalThis.addEventListener?.("online", nudge, { signal });
		globalThis.document?.addEventListener("visibilitychange", nudge, { signal });
	}

	/**
	 * Receives what is published under topics that begin with this one; "" is everything. It may
	 * be called at any time, several times for one topic too; a subscription that others cover
	 * begins with the next message.
	 * @param {string} topic
	 * @param {(message: Message) => void} callback
	 * @param {Handlers} [handlers]
	 * @returns {Subscription}
	 */
	subscribe(topic, callback, { onGap, onError } = {}) {
		if (typeof topic !== "string" || typeof callback !== "function")
			throw new TypeError("subscribe() takes a topic, a string, and a function");
		const sub = { callback, onGap, onError, active: true };
		const ready = new Promise((done, failed) => Object.assign(sub, { done, failed }));
		ready.catch(() => {}); // onError and "error" tell those who do not wait for it
		if (this.state === "closed") {
			refuse(sub, closed());
			return { ready, unsubscribe: () => {} };
		}
		const t = this.#topics.get(topic) || this.#add(topic);
		t.subs.add(sub);
		if (t.joined)
			sub.done();
		return { ready, unsubscribe: () => this.#leave(t, sub) };
	}

	/**
	 * Publishes. Without a connection it waits for one, options.timeout at most; what was sent
	 * is never sent again, so that nothing is published twice.
	 * @param {string} topic
	 * @param {string | ArrayBuffer | ArrayBufferView} data
	 * @returns {Promise<void>} resolves when the gateway has given it to ZeroMQ; rejects with a
	 *   ZgateError; its code "unknown" means that the message may have been published
	 */
	publish(topic, data) {
		if (typeof topic !== "string" || !(typeof data === "string" || bytesOf(data)))
			return Promise.reject(new TypeError("publish() takes a topic, a string, and a string or bytes"));
		if (this.state === "closed")
			return Promise.reject(closed());
		if (this.#queue.length + this.#calls.size - this.#asking >= QUEUE_MAX)
			return Promise.reject(new ZgateError("too_many", `${QUEUE_MAX} are on their way already`));
		return new Promise((done, failed) => {
			const p = { topic, data, done, failed };
			p.timer = setTimeout(() => {
				this.#queue.splice(this.#queue.indexOf(p), 1);
				failed(new ZgateError("offline", `no connection in ${this.#timeout} ms; not published`));
			}, this.#timeout);
			this.#queue.push(p);
			this.#wake();
			this.#flush();
		});
	}

	/** Ends all subscriptions and the connection, for good. */
	close() {
		if (this.state === "closed")
			return;
		this.#set("closed");
		this.#life.abort();
		for (const t of this.#topics.values())
			for (const sub of t.subs) {
				sub.active = false;
				sub.failed(closed());
			}
		this.#topics.clear();
		for (const p of this.#queue.splice(0))
			this.#dequeued(p).failed(closed());
		this.#link?.end();
		this.#hurry?.(0);
	}

	// ---- subscriptions ----

	#add(topic) {
		const t = { topic, subs: new Set(), joined: false, asked: false, served: false, refusals: 0 };
		this.#topics.set(topic, t);
		this.#wake();
		queueMicrotask(() => this.#askAll()); // what is subscribed to together goes together
		return t;
	}

	#leave(t, sub) {
		sub.active = false;
		if (!t.subs.delete(sub) || t.subs.size || this.#topics.get(t.topic) !== t)
			return;
		this.#topics.delete(t.topic);
		if (this.transport === "websocket" && (t.joined || t.asked))
			this.#unsubscribe(t.topic);
		else if (this.transport === "sse")
			queueMicrotask(() => this.#askAll());
	}

	#unsubscribe(topic) {
		this.#call({ op: "unsubscribe", topic }, () => {}, () => {});
	}

	#joined(t, cursor) {
		if (cursor)
			this.#cursor = cursor;
		t.joined = t.served = true;
		t.since = undefined;
		for (const sub of t.subs)
			sub.done();
	}

	/** Asks for the topics that are not asked for yet, those that resume first. */
	#askAll() {
		const news = [...this.#topics.values()].filter((t) => !t.joined && !t.asked);
		if (this.transport === "websocket")
			for (const t of news.sort((a, b) => !a.since - !b.since))
				this.#ask(t);
		else if (this.transport === "sse" && this.#link.placed &&
			JSON.stringify(this.#picked()) !== JSON.stringify(this.#link.topics))
			this.#link.end({ again: true });
	}

	#ask(t) {
		const answered = () => {
			t.asked = false;
			this.#asking--;
		};
		t.asked = true;
		this.#asking++;
		this.#call({ op: "subscribe", topic: t.topic, since: t.since }, (m) => {
			answered();
			this.#joined(t, m.cursor);
		}, (error) => {
			answered();
			if (error.code !== "unknown")
				this.#refused(t, error);
		});
	}

	#refused(t, error) {
		error.permanent = ["forbidden", "bad_request"].includes(error.code);
		if (this.#topics.get(t.topic) !== t)
			return;
		if (error.permanent)
			this.#topics.delete(t.topic);
		else
			setTimeout(() => this.#askAll(), backOff(3 + t.refusals++));
		this.dispatchEvent(new CustomEvent("error", { detail: error }));
		for (const sub of t.subs)
			refuse(sub, error);
	}

	// ---- what is received ----

	#message(topic, data, cursor) {
		// a topic may go on behind the first blank, for publishers who send "TOPIC DATA"
		const text = `${topic} ${typeof data === "string" ? data.slice(0, TOPIC_MAX) : ""}`;
		const found = [];
		for (const t of this.#topics.values())
			if (text.startsWith(t.topic))
				found.push(t);
		// while one topic after the other resumes, each is at a place of its own
		if (this.#asking && !found.some((t) => t.joined))
			for (const t of found)
				t.since = cursor;
		else
			this.#cursor = cursor;
		for (const t of found)
			for (const sub of [...t.subs])
				if (sub.active)
					guard(sub.callback, { topic, data, cursor });
	}

	#gap(missed) {
		this.dispatchEvent(new CustomEvent("gap", { detail: { missed } }));
		for (const t of [...this.#topics.values()])
			for (const sub of t.served ? [...t.subs] : [])
				if (sub.active && sub.onGap)
					guard(sub.onGap, missed);
	}

	/** One message of zgate.v1. */
	#heard(m) {
		const call = this.#calls.get(m.id);
		this.#calls.delete(m.id);
		switch (m.op) {
		case "message":
			this.#message(m.topic ?? textOf(fromBase64(m.topic64)), m.data ?? fromBase64(m.data64),
				m.cursor);
			break;
		case "gap":
			this.#gap(m.missed);
			break;
		case "error": {
			const error = new ZgateError(m.code, m.detail);
			if (call)
				call.failed(error);
			else
				this.dispatchEvent(new CustomEvent("error", { detail: error }));
			break;
		}
		case "subscribed":
			if (!call && m.cursor) // of a topic in the URL
				this.#cursor = m.cursor;
			// fall through
		default:
			call?.done(m);
		}
	}

	// ---- what is sent ----

	#call(message, done, failed) {
		const id = ++this.#id;
		this.#calls.set(id, { done, failed });
		this.#link.send(JSON.stringify({ ...message, id }));
	}

	#dequeued(p) {
		clearTimeout(p.timer);
		return p;
	}

	#flush() {
		if (this.transport === "sse")
			this.#postAll();
		while (this.transport === "websocket" && this.#queue.length) {
			const { topic, data, done, failed } = this.#dequeued(this.#queue.shift());
			const content = typeof data === "string" ? { data } : { data64: toBase64(bytesOf(data)) };
			this.#call({ op: "publish", topic, ...content }, () => done(), failed);
		}
	}

	/** One after the other: they keep their order. */
	async #postAll() {
		if (this.#posting)
			return;
		this.#posting = true;
		while (this.transport === "sse" && this.#queue.length) {
			const { topic, data, done, failed } = this.#dequeued(this.#queue.shift());
			try {
				const answer = await fetch(this.#query([topic]),
					{ method: "POST", body: data, signal: AbortSignal.timeout(OPENING) });
				if (answer.ok)
					done();
				else
					failed(new ZgateError(codeOf(answer.status), await problem(answer)));
			} catch {
				failed(lost());
			}
		}
		this.#posting = false;
		if (this.transport === "sse" && !this.#topics.size)
			this.#link.end();
	}

	// ---- the connection ----

	#set(state, detail = {}) {
		if (this.state === "closed")
			return;
		this.state = state;
		if (state !== "open")
			this.transport = null;
		this.dispatchEvent(new CustomEvent("state",
			{ detail: { state, transport: this.transport, ...detail } }));
	}

	get #needed() {
		return this.state !== "closed" && (this.#topics.size > 0 || this.#queue.length > 0);
	}

	#wake() {
		if (this.#running)
			return;
		this.#running = true;
		queueMicrotask(() => this.#run());
	}

	/** The user is back, or the network: no long waiting, no trust in an old connection. */
	#nudge() {
		this.#hurry?.(Math.random() * WAIT_MIN);
		if (this.state === "open")
			this.#link.check?.();
	}

	async #run() {
		for (let failures = 0; this.#needed;) {
			this.#set("connecting");
			const end = await this.#connected();
			if (end.lasted > STABLE)
				failures = 0;
			if (!this.#needed)
				break;
			const least = end.code === 1008 || end.code === 1013 || end.status ? 3 : 0;
			const wait = backOff(Math.max(failures++, least)) + (end.retryAfter || 0) * 1000;
			this.#set("waiting", { wait, reason: end.reason });
			if (end.code === 1008 || end.status)
				this.dispatchEvent(new CustomEvent("error", { detail: new ZgateError("refused", end.reason) }));
			await this.#pause(wait);
		}
		this.#running = false;
		this.#set("idle");
	}

	#pause(ms) {
		return new Promise((done) => {
			const timer = setTimeout(done, ms);
			this.#hurry = (soon) => {
				clearTimeout(timer);
				this.#hurry = null;
				setTimeout(done, soon);
			};
		}).then(() => this.#hurry = null);
	}

	/** Connects; when that has ended, how it did. */
	async #connected() {
		for (let again = false;;) {
			const resumed = this.#resumable();
			const ws = again ? {} : await this.#lasting(this.#overWebSocket(resumed), () => {
				this.transport = "websocket";
				this.#blocked = this.#bare = false;
				for (const t of resumed)
					if (this.#topics.get(t.topic) === t)
						this.#joined(t);
					else // left in the meantime
						this.#unsubscribe(t.topic);
			});
			if (ws.opened || !this.#needed)
				return ws;
			// browsers do not tell why a WebSocket was refused; a request does
			const http = await this.#overHttp(this.#blocked);
			again = http.again;
			if (!this.#needed || (!again && (http.opened || !http.status)))
				return http;
			if (http.status === 200)
				this.#blocked = true; // once more: the gateway may have come up in between
			else if (!again && !this.#doubts(http, resumed))
				return http;
		}
	}

	/** A connection until it ends. */
	async #lasting(link, opened) {
		this.#link = link;
		link.onheard = (m) => this.#heard(m);
		link.onplaced = () => this.#askAll();
		link.onopen = () => {
			if (!this.#cursor && [...this.#topics.values()].some((t) => t.served))
				this.#gap(null); // nothing to resume at
			opened();
			this.#set("open");
			this.#askAll();
			this.#flush();
		};
		const end = await link.ended;
		this.#link = this.transport = null;
		for (const t of this.#topics.values()) {
			if (t.joined)
				t.since = this.#cursor;
			t.joined = false;
		}
		for (const [id, call] of this.#calls) {
			this.#calls.delete(id);
			call.failed(end.code === 1009 ? new ZgateError("too_large", end.reason, true) : lost());
		}
		return end;
	}

	#query(topics, since) {
		const url = new URL(this.#url);
		for (const topic of topics)
			url.searchParams.append("topic", topic);
		if (since)
			url.searchParams.set("last_event_id", since);
		return url;
	}

	/** The topics that can resume at one place, and so in one order. */
	#resumable() {
		return this.#bare || !this.#cursor ? []
			: fitting([...this.#topics.values()].filter((t) => t.since === this.#cursor));
	}

	#overWebSocket(topics) {
		const url = this.#query(topics.map((t) => t.topic), topics.length && this.#cursor);
		url.protocol = url.protocol.replace("http", "ws");
		return new SocketLink(url, this.#heartbeat);
	}

	/** What an event stream is to carry: all topics, if that is possible. */
	#picked() {
		const all = [...this.#topics.values()].sort((a, b) => b.served - a.served);
		const served = all.filter((t) => t.served).length;
		return fitting(this.#careful ? all.slice(0, served + 1) : all).map((t) => t.topic).sort();
	}

	/** stay: else it only finds out whether it would work. */
	#overHttp(stay) {
		const topics = this.#picked();
		const url = this.#query(topics, this.#cursor);
		url.searchParams.set("format", "json");
		const link = new StreamLink(url, topics, { stay, patience: 3 * this.#heartbeat });
		return this.#lasting(link, () => {
			this.transport = "sse";
			for (const t of this.#topics.values())
				if (topics.includes(t.topic))
					this.#joined(t);
			const left = [...this.#topics.values()].filter((t) => !t.joined);
			if (this.#careful)
				this.#careful = left.length > 0;
			else
				for (const t of left)
					this.#refused(t, new ZgateError("too_many", "more topics than one event stream carries"));
		});
	}

	/** Whether to try again at once, as the refusal may be due to a topic. */
	#doubts({ status, reason, topics }, resumed) {
		const news = [...this.#topics.values()].filter((t) => !t.served && topics.includes(t.topic));
		if (status !== 400 && status !== 403)
			return false;
		if (resumed.length && !this.#bare)
			this.#bare = true;
		else if (news.length > 1)
			this.#careful = true;
		else if (news.length === 1)
			this.#refused(news[0], new ZgateError(codeOf(status), reason));
		else
			return false;
		return this.#needed;
	}
}

/** A WebSocket from the handshake to its end. */
class SocketLink {
	#socket = null;
	#heartbeat;
	#opened = 0;
	#heard = 0;
	#pinged = false;
	#timer;
	#done;

	constructor(url, heartbeat) {
		this.ended = new Promise((done) => this.#done = done);
		this.#heartbeat = heartbeat;
		this.#timer = setTimeout(() => this.end({ reason: "no answer to the handshake" }), OPENING);
		try {
			this.#socket = new WebSocket(url, [PROTOCOL]);
		} catch (e) { // there is none, or the page may not
			this.end({ reason: e.message });
			return;
		}
		this.#socket.onopen = () => {
			this.#opened = this.#heard = performance.now();
			this.#watch(this.#heartbeat);
			this.onopen();
		};
		this.#socket.onmessage = (e) => {
			this.#heard = performance.now();
			this.#pinged = false;
			this.onheard(JSON.parse(e.data));
		};
		this.#socket.onclose = (e) =>
			this.end({ code: e.code, reason: e.reason || `closed with code ${e.code}` });
	}

	send(text) {
		this.#socket.send(text);
	}

	/** Finds out soon whether the other end is still there. */
	check() {
		this.send(PING);
		this.#pinged = true;
		this.#watch(this.#heartbeat / 2);
	}

	/** A network that has gone says nothing: silence is asked, then given up. */
	#watch(ms) {
		clearTimeout(this.#timer);
		this.#timer = setTimeout(() => {
			const left = this.#heard + this.#heartbeat - performance.now();
			if (this.#pinged)
				this.end({ reason: "the connection is silent" });
			else if (left > 0)
				this.#watch(left);
			else
				this.check();
		}, ms);
	}

	end(how = {}) {
		clearTimeout(this.#timer);
		if (this.#socket)
			this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
		this.#socket?.close();
		this.#done({ opened: this.#opened > 0, lasted: lasted(this.#opened), ...how });
	}
}

/**
 * Server-Sent Events, likewise. EventSource would not tell why it was refused, and
 * Node has none.
 */
class StreamLink {
	/** Whether it can be left for another: it has told where that one would go on. */
	placed;

	#abort = new AbortController();
	#patience;
	#opened = 0;
	#timer;
	#done;

	constructor(url, topics, { stay, patience }) {
		this.ended = new Promise((done) => this.#done = done);
		this.topics = topics;
		this.placed = !topics.length;
		this.#patience = patience;
		this.#watch(OPENING);
		this.#run(url, stay).then((how) => this.end(how),
			() => this.end({ reason: this.#opened ? "the connection was lost"
				: "the gateway does not answer" }));
	}

	async #run(url, stay) {
		const answer = await fetch(url, { method: this.topics.length ? "GET" : "HEAD", cache: "no-store",
			headers: { Accept: EVENTS }, signal: this.#abort.signal });
		const streams = answer.ok && answer.headers.get("Content-Type")?.startsWith(EVENTS);
		// without topics there is nothing to stream, only to POST: any answer of the location will do
		const fits = streams || (!this.topics.length && answer.status < 500 &&
			![403, 404, 429].includes(answer.status));
		if (!fits)
			return { topics: this.topics, status: answer.ok ? 406 : answer.status,
				reason: await problem(answer), retryAfter: Number(answer.headers.get("Retry-After")) };
		if (!stay)
			return { status: 200 };
		this.#opened = performance.now();
		this.onopen();
		if (!streams)
			return this.ended;
		const text = new TextDecoder();
		let rest = "", event = {};
		for (const reader = answer.body.getReader();;) {
			const { done, value } = await reader.read();
			if (done)
				return { reason: "the event stream has ended" };
			this.#watch(this.#patience);
			const lines = (rest + text.decode(value, { stream: true })).split(/\r\n|\n|\r(?!$)/);
			rest = lines.pop();
			for (const line of lines)
				event = this.#line(line, event);
		}
	}

	#line(line, event) {
		const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
		if (line) {
			event[name] = name === "data" && "data" in event ? `${event.data}\n${value}` : value;
			return event;
		}
		const m = event.data ? JSON.parse(event.data) : { op: "subscribed" };
		if (event.event === "gap")
			m.op = "gap";
		m.cursor ??= event.id;
		if (this.#abort.signal.aborted)
			return {};
		this.onheard(m);
		if (m.cursor && !this.placed) {
			this.placed = true;
			this.onplaced();
		}
		return {};
	}

	#watch(ms) {
		clearTimeout(this.#timer);
		this.#timer = setTimeout(() => this.end({ reason: "the connection is silent" }), ms);
	}

	end(how = {}) {
		clearTimeout(this.#timer);
		this.#done({ opened: this.#opened > 0, lasted: lasted(this.#opened), ...how });
		this.#abort.abort();
	}
}

// ---- small things ----

const EVENTS = "text/event-stream";
const PING = JSON.stringify({ op: "ping" });

const lost = () => new ZgateError("unknown", "the connection was lost before the answer");
const closed = () => new ZgateError("closed", "close() was called", true);

/** ms since a link was opened, if it was. */
const lasted = (opened) => opened ? performance.now() - opened : 0;

/** Full jitter: many pages that lost the same gateway do not come back together. */
function backOff(failures) {
	return Math.random() * Math.min(WAIT_MAX, WAIT_MIN * 2 ** failures);
}

/** As many topics as a URL may carry. */
function fitting(topics) {
	let room = QUERY_MAX;
	return topics.slice(0, TOPICS_MAX)
		.filter((t) => (room -= encodeURIComponent(t.topic).length + 7) >= 0);
}

/** A callback that throws keeps nobody else from being called. */
function guard(callback, value) {
	try {
		callback(value);
	} catch (e) {
		queueMicrotask(() => { throw e; });
	}
}

function refuse(sub, error) {
	if (error.permanent)
		sub.failed(error);
	if (sub.onError)
		guard(sub.onError, error);
}

function codeOf(status) {
	return { 400: "bad_request", 403: "forbidden", 405: "not_configured" }[status] || "unavailable";
}

/** Why the gateway refused a request (RFC 9457). */
async function problem(answer) {
	const { detail } = await answer.json().catch(() => ({}));
	return `${answer.status} ${detail || answer.statusText}`;
}

function bytesOf(data) {
	return data instanceof ArrayBuffer ? new Uint8Array(data)
		: ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : null;
}

function toBase64(bytes) {
	let text = "";
	for (let i = 0; i < bytes.length; i += 0x8000)
		text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
	return btoa(text);
}

function fromBase64(text) {
	return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

/** A topic that is not UTF-8: what is wrong in it becomes U+FFFD. */
function textOf(bytes) {
	return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}
