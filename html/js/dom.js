/**
 * Building the page. Everything that comes from outside gets in as text, never
 * as markup.
 */

const SVG = "http://www.w3.org/2000/svg";
let ids = 0;

/** An id that no other element has. */
export function uid(prefix) {
	return `${prefix}-${++ids}`;
}

function apply(node, props, children) {
	for (const [key, value] of Object.entries(props || {})) {
		if (value === undefined || value === null || value === false)
			continue;
		if (key.startsWith("on"))
			node.addEventListener(key.slice(2), value);
		else if (key === "value")
			node.value = value;
		else
			node.setAttribute(key, value === true ? "" : value);
	}
	node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined));
	return node;
}

/** An element: h("a", {href: "/x", onclick: f}, "text", child…). */
export function h(tag, props, ...children) {
	return apply(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function svg(tag, props, ...children) {
	return apply(document.createElementNS(SVG, tag), props, children);
}

/** The symbol of a bridge; one of index.html's. */
export function icon(bridge) {
	const known = document.getElementById(`i-${bridge}`);
	return svg("svg", { class: "icon", "aria-hidden": "true" },
		svg("use", { href: known ? `#i-${bridge}` : "#i-other" }));
}

/** Sets text only where it changed, so that selections survive a refresh. */
export function setText(node, text) {
	if (node.textContent !== text)
		node.textContent = text;
}

/** A labelled control. */
export function field(label, control, hint) {
	control.id ||= uid("field");
	const note = hint ? h("small", { id: uid("hint"), class: "muted" }, hint) : null;
	if (note)
		control.setAttribute("aria-describedby", note.id);
	return h("div", { class: "field" }, h("label", { for: control.id }, label), control, note);
}

/** A form that never leaves the page. */
export function form(onsubmit, ...children) {
	return h("form", { class: "try", onsubmit: (e) => { e.preventDefault(); onsubmit(); } },
		...children);
}

/** Makes Ctrl+Enter and Cmd+Enter in a textarea submit its form. */
export function submitKey(textarea) {
	textarea.addEventListener("keydown", (e) => {
		if (e.key === "Enter" && (e.ctrlKey || e.metaKey) && !e.isComposing) {
			e.preventDefault();
			textarea.form.requestSubmit();
		}
	});
	return textarea;
}

/** Copies text and says so on the button; works without a secure context too. */
export async function copy(text, button) {
	try {
		await navigator.clipboard.writeText(text);
	} catch {
		const box = h("textarea", { class: "hidden", value: text });
		document.body.append(box);
		box.select();
		document.execCommand("copy");
		box.remove();
		button.focus();
	}
	setText(button, "Copied");
	setTimeout(() => setText(button, "Copy"), 1500);
}
