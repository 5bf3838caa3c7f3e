/* The way back: values in effect as the lines that would set them. */
#include "engine/directive.h"
#include "engine/ini.h"
#include "base/unit.h"
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>

static int add_line(zg_buf_t *out, const char *name, const char *value)
{
	return zg_buf_printf(out, "%s = %s\n", name, value);
}

/* A row without a default whose unset value could not be written back says
 * nothing; any other number is shown. */
static bool unset(const zg_directive_t *row, uint64_t value)
{
	uint64_t min = 0;

	if (value || row->def || !row->min)
		return false;
	if (row->type == ZG_TYPE_MSEC)
		zg_unit_msec(zg_str(row->min), &min, NULL);
	else if (row->type == ZG_TYPE_SIZE)
		zg_unit_size(zg_str(row->min), &min, NULL);
	else
		min = row->min[0] != '-' && row->min[0] != '0';
	return min > 0;
}

static int number_text(const zg_directive_t *row, const void *from, zg_buf_t *out)
{
	char text[32];
	uint64_t value;

	memcpy(&value, from, sizeof(value)); /* all three are 64 bits wide */
	if (row->type == ZG_TYPE_INT && row->choices && !value)
		return add_line(out, row->name, row->choices[0]);
	if (unset(row, value))
		return 0;
	if (row->type == ZG_TYPE_MSEC)
		zg_unit_msec_text(value, text);
	else if (row->type == ZG_TYPE_SIZE)
		zg_unit_size_text(value, text);
	else
		snprintf(text, sizeof(text), "%" PRId64, (int64_t)value);
	return add_line(out, row->name, text);
}

/* A list takes as many lines as the reader's limit asks for. */
struct lines {
	zg_buf_t *out;
	const char *name;
	size_t start; /* of the open line, in out */
	bool open;
};

static int lines_end(struct lines *l)
{
	if (!l->open)
		return 0;
	l->open = false;
	return zg_buf_add(l->out, "\n", 1);
}

/* verb begins each value: "", "bind " or "connect ". */
static int lines_add(struct lines *l, const char *verb, const char *word)
{
	if (l->open && l->out->len - l->start + 1 + strlen(word) > ZG_INI_LINE_MAX)
		if (lines_end(l) < 0)
			return -1;
	if (l->open)
		return zg_buf_printf(l->out, " %s", word);
	l->open = true;
	l->start = l->out->len;
	return zg_buf_printf(l->out, "%s = %s%s", l->name, verb, word);
}

static int list_text(const zg_directive_t *row, const zg_list_t *list, zg_buf_t *out)
{
	struct lines l = { .out = out, .name = row->name };

	for (size_t i = 0; i < list->count; i++)
		if (lines_add(&l, "", list->item[i]) < 0)
			return -1;
	return lines_end(&l);
}

static int endpoints_text(const zg_directive_t *row, const zg_endpoints_t *list, zg_buf_t *out)
{
	struct lines l = { .out = out, .name = row->name };

	for (size_t i = 0; i < list->count; i++) {
		const zg_endpoint_t *e = &list->item[i];

		if (i && e->bind != e[-1].bind && lines_end(&l) < 0)
			return -1;
		if (lines_add(&l, e->bind ? "bind " : "connect ", e->address) < 0)
			return -1;
	}
	return lines_end(&l);
}

static void net_text(const zg_net_t *net, char out[64])
{
	unsigned whole = net->family == AF_INET ? 32 : 128;

	if (net->family != AF_INET && net->family != AF_INET6) {
		strcpy(out, net->family == AF_UNIX ? "unix:" : "all");
		return;
	}
	if (!inet_ntop(net->family, net->bytes, out, 48))
		out[0] = '\0';
	if (net->bits != whole)
		snprintf(out + strlen(out), 8, "/%u", net->bits);
}

static int nets_text(const zg_directive_t *row, const zg_nets_t *nets, zg_buf_t *out)
{
	struct lines l = { .out = out, .name = row->name };
	char text[64];

	for (size_t i = 0; i < nets->count; i++) {
		net_text(&nets->item[i], text);
		if (lines_add(&l, "", text) < 0)
			return -1;
	}
	return lines_end(&l);
}

int zg_directive_text(const zg_directive_t *row, const void *conf, zg_buf_t *out)
{
	const void *from = (const char *)conf + row->offset;
	const char *text;

	switch (row->type) {
	case ZG_TYPE_MSEC:
	case ZG_TYPE_SIZE:
	case ZG_TYPE_INT:
		return number_text(row, from, out);
	case ZG_TYPE_BOOL:
		return add_line(out, row->name, *(const bool *)from ? "yes" : "no");
	case ZG_TYPE_STRING:
	case ZG_TYPE_PATH:
		text = *(const char *const *)from;
		return text ? add_line(out, row->name, text) : 0;
	case ZG_TYPE_ENUM:
		return add_line(out, row->name, row->choices[*(const int *)from]);
	case ZG_TYPE_LIST:   return list_text(row, from, out);
	case ZG_TYPE_SOCKET: return endpoints_text(row, from, out);
	case ZG_TYPE_NETS:   return nets_text(row, from, out);
	}
	return 0;
}

/* ---- for people ---- */

static const char *type_name(zg_type_t type)
{
	switch (type) {
	case ZG_TYPE_MSEC:   return "time";
	case ZG_TYPE_SIZE:   return "size";
	case ZG_TYPE_INT:    return "number";
	case ZG_TYPE_BOOL:   return "yes|no";
	case ZG_TYPE_STRING: return "text";
	case ZG_TYPE_PATH:   return "path";
	case ZG_TYPE_ENUM:   return "one of";
	case ZG_TYPE_LIST:   return "WORD…";
	case ZG_TYPE_SOCKET: return "connect|bind ENDPOINT…";
	case ZG_TYPE_NETS:   return "ADDRESS[/BITS]…";
	}
	return "?";
}

int zg_directive_type(const zg_directive_t *row, zg_buf_t *out)
{
	const char *mark = "";

	if (row->type != ZG_TYPE_ENUM) {
		if (zg_buf_printf(out, "%s", type_name(row->type)) < 0)
			return -1;
		mark = "|";
	}
	for (size_t i = 0; row->choices && row->choices[i]; i++, mark = "|")
		if (zg_buf_printf(out, "%s%s", mark, row->choices[i]) < 0)
			return -1;
	return 0;
}

int zg_directive_bounds(const zg_directive_t *row, zg_buf_t *out)
{
	size_t before = out->len;

#define ADD(...)                                                                               \
	do {                                                                                   \
		if ((out->len > before && zg_buf_add(out, ", ", 2) < 0) ||                     \
		    zg_buf_printf(out, __VA_ARGS__) < 0)                                       \
			return -1;                                                             \
	} while (0)
	if (row->required)
		ADD("required");
	if (row->def)
		ADD("default %s", row->def);
	if (row->min && row->max && strcmp(row->min, row->max))
		ADD("%s to %s", row->min, row->max);
	else if (row->min && row->max)
		ADD("nothing else");
	else if (row->min)
		ADD("from %s", row->min);
	else if (row->max)
		ADD("up to %s", row->max);
	if (zg_directive_repeats(row))
		ADD("repeatable");
#undef ADD
	return 0;
}
