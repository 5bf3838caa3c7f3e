/**
 * What the gateway says of itself: polls the status location once a second and
 * tells listeners: "update" when there are new figures, "lost" when there are
 * none, and why.
 */

const EVERY = 1000;
const PATIENCE = 4000;
const HISTORY = 60;

/** The `bridge` of what serves no path. */
export const SERVICE = "service";

/** What people come for first; bridges that this page does not know stand after "pair". */
const ORDER = ["reqrep", "pubsub", "pipeline", "pair", "", "static", "status", SERVICE];

function place(l) {
	return ORDER.indexOf(ORDER.includes(l.bridge) ? l.bridge : "");
}

export class Status extends EventTarget {
	#url;
	#timer = 0;
	#before = null;

	constructor(url) {
		super();
		this.#url = url;
		this.latest = null;
		this.lost = false;
		/** Per path, per counter: change per second. */
		this.rates = new Map();
		/** The last minute's sums, for the small charts. */
		this.history = {
			requests: new Array(HISTORY).fill(0),
			ws_delivered: new Array(HISTORY).fill(0),
		};
	}

	get url() {
		return this.#url;
	}

	start() {
		document.addEventListener("visibilitychange", () => {
			clearTimeout(this.#timer);
			if (!document.hidden)
				this.#poll();
		});
		this.#poll();
	}

	/** Locations and services, these as locations of their own kind. */
	get entries() {
		return this.latest?.entries || [];
	}

	/** A location's latest description. */
	location(path) {
		return this.entries.find((l) => l.path === path);
	}

	/** The sum of a counter over all locations but the status page itself. */
	sum(counter) {
		return this.#over((l) => l.counters[counter] || 0);
	}

	/** The same for its rate. */
	sumRate(counter) {
		return this.#over((l) => this.rate(l.path, counter));
	}

	rate(path, counter) {
		return this.rates.get(path)?.[counter] || 0;
	}

	#over(value) {
		return this.entries.filter((l) => l.bridge !== "status" && l.bridge !== SERVICE)
			.reduce((total, l) => total + value(l), 0);
	}

	async #poll() {
		try {
			this.#take(await this.#fetch());
			this.lost = false;
			this.dispatchEvent(new Event("update"));
		} catch (e) {
			this.#before = null;
			this.lost = true;
			this.dispatchEvent(new CustomEvent("lost", { detail: e.message }));
		}
		clearTimeout(this.#timer);
		if (!document.hidden)
			this.#timer = setTimeout(() => this.#poll(), EVERY);
	}

	async #fetch() {
		let answer;
		try {
			answer = await fetch(this.#url,
				{ cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
		} catch {
			throw new Error("The gateway does not answer. Trying again every second…");
		}
		if (answer.status === 404)
			throw new Error(`There is no ${this.#url} here: add "[location ${this.#url}]" with ` +
				`"bridge = status" to the configuration, or name its path in index.html (data-status).`);
		if (!answer.ok)
			throw new Error(`${this.#url} answers ${answer.status} ${answer.statusText}.`);
		const data = await answer.json().catch(() => null);
		if (!Array.isArray(data?.locations))
			throw new Error(`What ${this.#url} answers is not the status of zgate.`);
		return data;
	}

	#take(data) {
		const before = this.#before;
		const seconds = before ? (data.uptime_ms - before.uptime_ms) / 1000 : 0;
		const services = (data.services || []).map((s) =>
			({ path: s.name, bridge: SERVICE, methods: [], counters: {}, sockets: [], ...s }));
		data.entries = [...data.locations, ...services].sort((a, b) => place(a) - place(b));
		this.latest = this.#before = data;
		this.rates.clear();
		if (!(seconds > 0) || before.pid !== data.pid)
			return;
		for (const l of data.entries) {
			const old = before.entries.find((o) => o.path === l.path)?.counters || {};
			const rates = {};
			for (const [name, value] of Object.entries(l.counters))
				rates[name] = Math.max(0, value - (old[name] ?? value)) / seconds;
			this.rates.set(l.path, rates);
		}
		for (const [name, list] of Object.entries(this.history)) {
			list.push(this.sumRate(name));
			list.shift();
		}
	}
}
