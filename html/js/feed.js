/** A location watched with zgate.js: topics that change at work, and a bar that tells how it is. */
import { connect } from "../zgate.js";
import { plural } from "./format.js";

const OVER = { websocket: "WebSocket", sse: "events over HTTP" };

export class Feed {
	#path;
	#messages;
	#bar;
	#changed;
	#client = null;
	#subscriptions = new Map();
	#last = "";

	/** messages: where they are shown; changed(): it has begun or ended. */
	constructor(path, messages, bar, changed) {
		this.#path = path;
		this.#messages = messages;
		this.#bar = bar;
		this.#changed = changed;
	}

	get busy() {
		return this.#client !== null;
	}

	/** Watches these topics from now on, and no others. */
	follow(topics) {
		if (!this.#client)
			this.#begin();
		for (const topic of topics.filter((t) => !this.#subscriptions.has(t)))
			this.#subscribe(topic);
		for (const topic of [...this.#subscriptions.keys()].filter((t) => !topics.includes(t))) {
			this.#subscriptions.get(topic).unsubscribe();
			this.#subscriptions.delete(topic);
			this.#messages.add("note", `unsubscribed from ${name(topic)}`);
		}
	}

	drop() {
		this.#client?.close();
		this.#client = null;
		this.#subscriptions.clear();
		this.#bar.show("not connected", "", "Connect");
		this.#changed();
	}

	#begin() {
		const client = this.#client = connect(this.#path);
		client.addEventListener("state", (e) => client === this.#client && this.#show(e.detail));
		client.addEventListener("gap", (e) => this.#messages.add("warn", e.detail.missed === null
			? "messages may have been lost: the gateway was restarted"
			: `up to ${plural(e.detail.missed, "message")} lost to this client`));
		client.addEventListener("error", (e) =>
			this.#messages.add("warn", `${e.detail.code}: ${e.detail.message}`));
		this.#changed();
	}

	#subscribe(topic) {
		const sub = this.#client.subscribe(topic, (m) => this.#received(m));
		this.#subscriptions.set(topic, sub);
		sub.ready.then(() => this.#messages.add("note", `subscribed to ${name(topic)}`),
			() => this.#subscriptions.delete(topic));
	}

	/** Topics may overlap: shown once all the same. */
	#received({ topic, data, cursor }) {
		if (cursor !== this.#last)
			this.#messages.add("in", typeof data === "string" ? data : data.buffer, topic);
		this.#last = cursor;
	}

	#show({ state, transport, wait, reason }) {
		if (state === "open")
			this.#bar.show(`connected, ${OVER[transport]}`, "ok", "Disconnect");
		else if (state === "waiting")
			this.#bar.show(`${reason}; trying again in ${plural(Math.ceil(wait / 1000), "second")}`,
				"bad", "Cancel");
		else if (state === "connecting")
			this.#bar.show("connecting…", "wait", "Cancel");
		else
			this.#bar.show("nothing to watch", "", "Disconnect");
	}
}

function name(topic) {
	return topic === "" ? "everything" : `“${topic}”`;
}
