/** Trying a pipeline location: uploads with their results, and the stream of all results. */
import { field, form, h, setText, submitKey } from "./dom.js";
import { bytes, clip, readable } from "./format.js";
import { Channel, refusal, wsUrl } from "./channel.js";
import { Messages } from "./messages.js";

const SHOWN = 20;
const ASK_EVERY = 500;
const ASK_FOR = 60000;

export function pipelineForm(l, status) {
	const sink = l.sockets.some((s) => s.directive === "pull") ? resultStream(l, status) : null;
	const list = h("ol", { class: "uploads", "aria-live": "polite", "aria-label": "Uploads" });

	/** Watches first, so that a result without an id is seen too. */
	const upload = async (name, size, body) => {
		await sink?.channel.connect();
		const item = uploadItem(name, size);
		list.prepend(item.element);
		while (list.childElementCount > SHOWN)
			list.lastElementChild.remove();
		send(l.path, body, item, sink !== null);
	};
	const uploadFiles = async (files) => {
		for (const file of files) {
			const body = new FormData();
			body.append("file", file);
			await upload(file.name, file.size, body);
		}
	};

	const text = submitKey(h("textarea", { rows: "2", value: "Hello", spellcheck: "false" }));
	const submit = () => upload("text", new Blob([text.value]).size, text.value);
	return {
		element: h("div", { class: "stack" },
			form(submit, dropZone(uploadFiles),
				field("Or text", text, "Ctrl+Enter or ⌘+Enter uploads."),
				h("div", { class: "bar" },
					h("button", { type: "submit", class: "main" }, "Upload text")),
				list),
			sink?.element),
		stop: () => sink?.channel.drop(),
	};
}

function dropZone(take) {
	const input = h("input", { type: "file", multiple: true });
	input.addEventListener("change", () => {
		take([...input.files]);
		input.value = "";
	});
	const zone = h("label", { class: "drop" }, h("span", {}, "Choose files, or drop them here"), input);
	const over = (on) => (e) => {
		e.preventDefault();
		zone.classList.toggle("over", on);
	};
	zone.addEventListener("dragover", over(true));
	zone.addEventListener("dragleave", over(false));
	zone.addEventListener("drop", (e) => {
		over(false)(e);
		take([...e.dataTransfer.files]);
	});
	return zone;
}

function resultStream(l, status) {
	const messages = new Messages(`Results of ${l.path}`,
		{ empty: "Connect, and results of all uploads appear here." });
	const channel = new Channel({
		where: () => wsUrl(l.path),
		onmessage: (data) => messages.add("in", data),
		refused: () => refusal(status, "the location is gone"),
	});
	return { channel, element: h("section", { class: "try" }, h("h3", {}, "Results, live"),
		channel.element, messages.element) };
}

function uploadItem(name, size) {
	const bar = h("progress", { max: "100", value: "0", "aria-label": `Upload of ${name}` });
	const state = h("span", { class: "state muted" }, "uploading…");
	const more = h("div", { class: "more" });
	const element = h("li", {},
		h("p", {}, h("b", {}, name), h("span", { class: "muted" }, bytes(size))), bar, state, more);
	return {
		element,
		more,
		progress: (share) => bar.value = 100 * share,
		say: (text, kind = "") => {
			setText(state, text);
			state.dataset.state = kind;
			bar.hidden = true;
		},
	};
}

/** XMLHttpRequest, because fetch tells nothing of an upload's progress. */
function send(path, body, item, hasSink) {
	const xhr = new XMLHttpRequest();
	xhr.open("POST", path);
	xhr.upload.onprogress = (e) => e.lengthComputable && item.progress(e.loaded / e.total);
	xhr.onerror = () => item.say("No answer: the connection failed, or the upload is larger than " +
		"max_body.", "bad");
	xhr.onload = () => {
		const said = parse(xhr.responseText);
		if (xhr.status !== 202) {
			item.say(`${xhr.status} ${said?.detail || xhr.statusText}`, "bad");
			return;
		}
		const one = Array.isArray(said) ? said[0] : said;
		item.say(`202 ${one?.status || "queued"}${one?.id ? `, id ${one.id}` : ""}`, "ok");
		const link = xhr.getResponseHeader("Location");
		if (link)
			awaitResult(link, item);
		else if (hasSink)
			item.more.append(h("small", { class: "muted" },
				"No id travels with the body (framing), so its result is in the stream only."));
	};
	xhr.send(body);
}

function parse(text) {
	try {
		return JSON.parse(text);
	} catch {
		return null;
	}
}

/** Asks for a result until it is there. */
async function awaitResult(link, item) {
	const state = h("span", { class: "muted" }, "pending…");
	const result = h("pre", { class: "body", tabindex: "0", role: "group", "aria-label": "Result", hidden: true });
	item.more.append(h("p", {}, h("a", { href: link }, "Result"), " ", state), result);
	const until = performance.now() + ASK_FOR;
	while (item.element.isConnected && performance.now() < until) {
		const answer = await fetch(link, { cache: "no-store" }).catch(() => null);
		if (answer?.status === 200) {
			const body = await answer.arrayBuffer();
			setText(state, bytes(body.byteLength));
			setText(result, clip(readable(body)));
			result.hidden = false;
			return;
		}
		if (answer && answer.status !== 202) {
			setText(state, `${answer.status} ${answer.statusText}`);
			return;
		}
		await new Promise((done) => setTimeout(done, ASK_EVERY));
	}
	setText(state, "still pending; the link shows it when it is there");
}
