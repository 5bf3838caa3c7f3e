/** Figures and bytes for people. */

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const strict = new TextDecoder("utf-8", { fatal: true });

/** 12,345 */
export function count(n) {
	return number.format(n || 0);
}

/** At most four digits: 12.3K */
export function compact(n) {
	return n < 10000 ? count(n) : short.format(n);
}

/** Per second; small rates keep a decimal. */
export function rate(n) {
	return n > 0 && n < 9.95 ? n.toFixed(1).replace(/\.0$/, "") : compact(n || 0);
}

/** 1.2 MB */
export function bytes(n) {
	const units = ["bytes", "kB", "MB", "GB", "TB"];
	let at = 0;
	while (n >= 999.5 && at < units.length - 1) {
		n /= 1000;
		at++;
	}
	if (at === 0)
		return n === 1 ? "1 byte" : `${n} bytes`;
	return `${n < 9.95 ? n.toFixed(1) : Math.round(n)} ${units[at]}`;
}

/** 3 d 4 h, 5 min 6 s */
export function duration(ms) {
	const s = Math.floor(ms / 1000);
	const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
	const from = parts.findIndex(([size]) => s >= size);
	if (from < 0)
		return "0 s";
	return parts.slice(from, from + 2)
		.map(([size, unit], i) => `${Math.floor((i ? s % parts[from][0] : s) / size)} ${unit}`)
		.join(" ");
}

/** How long a request took. */
export function millis(ms) {
	return ms < 10 ? `${ms.toFixed(1)} ms` : ms < 10000 ? `${Math.round(ms)} ms`
		: `${(ms / 1000).toFixed(1)} s`;
}

/** A bound of a histogram, from microseconds; null is over all bounds. */
export function micros(us) {
	return us === null ? "more than a minute" : us < 1000 ? `${us} µs`
		: us < 1e6 ? `${us / 1000} ms` : `${us / 1e6} s`;
}

/** 14:05:09.120 */
export function clock(date) {
	const two = (n) => String(n).padStart(2, "0");
	return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.` +
		String(date.getMilliseconds()).padStart(3, "0");
}

/** Cuts a text that nobody would read to its end. */
export function clip(text, limit = 4000) {
	return text.length <= limit ? text
		: `${text.slice(0, limit)}… (${count(text.length - limit)} characters more)`;
}

/** An ArrayBuffer as text if it is UTF-8, else its first bytes in hexadecimal. */
export function readable(buffer) {
	try {
		return strict.decode(buffer);
	} catch {
		const shown = [...new Uint8Array(buffer, 0, Math.min(buffer.byteLength, 64))];
		const hex = shown.map((b) => b.toString(16).padStart(2, "0")).join(" ");
		return `${bytes(buffer.byteLength)}, not text: ${hex}${buffer.byteLength > 64 ? " …" : ""}`;
	}
}

/** "ws_open" as a label: "WS open". */
export function label(name) {
	return name.replace(/^ws_/, "WS ").replaceAll("_", " ");
}

/** "1 peer", "2 peers" */
export function plural(n, noun) {
	return `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
}
