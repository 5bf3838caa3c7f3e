#include "gateway/cycle.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX (4u << 20)

/* ---- comparing ---- */

/* Two values are equal if they would be written alike. */
static bool row_differs(const zg_directive_t *row, const void *a, const void *b)
{
	zg_buf_t x = ZG_BUF(TEXT_MAX), y = ZG_BUF(TEXT_MAX);
	bool same = zg_directive_text(row, a, &x) == 0 && zg_directive_text(row, b, &y) == 0 &&
	            zg_str_eq(zg_buf_str(&x), zg_buf_str(&y));

	zg_buf_free(&x);
	zg_buf_free(&y);
	return !same;
}

static zg_fate_t compare_rows(const zg_directive_t *rows, const void *a, const void *b)
{
	zg_fate_t fate = ZG_KEEP;

	for (; rows && rows->name; rows++) {
		if (!row_differs(rows, a, b))
			continue;
		if (rows->fixed || rows->type == ZG_TYPE_SOCKET)
			return ZG_START;
		fate = ZG_RELOAD;
	}
	return fate;
}

static zg_placement_t placement_of(const zg_module_t *m, const void *conf)
{
	if (m->kind == ZG_SERVICE)
		return ZG_AT_HOME;
	return m->place ? m->place(conf) : m->placement;
}

static zg_fate_t compare(const zg_section_t *was, const zg_section_t *is, const zg_module_t *m)
{
	zg_fate_t core = is->location ? compare_rows(zg_conf_location_rows, was->location, is->location)
	                              : ZG_KEEP;
	zg_fate_t own = compare_rows(m->directives, was->conf, is->conf);

	if (core == ZG_START || own == ZG_START || (own == ZG_RELOAD && !m->reload) ||
	    was->kin->family.placement != placement_of(m, is->conf))
		return ZG_START;
	return core == ZG_RELOAD || own == ZG_RELOAD ? ZG_RELOAD : ZG_KEEP;
}

static const char *name_of(const zg_section_t *s, const zg_module_t *m)
{
	return s->location ? s->location->name : m->name;
}

static const zg_section_t *find(const zg_cycle_t *c, const char *name, bool location,
                                const zg_module_t *module)
{
	for (size_t i = 0; c && i < c->sections; i++) {
		const zg_section_t *s = &c->section[i];

		if (!s->location != location && s->kin->family.module == module &&
		    strcmp(name_of(s, module), name) == 0)
			return s;
	}
	return NULL;
}

/* ---- families ---- */

static zg_kin_t *kin_new(zg_cycle_t *c, const zg_section_t *s, const zg_module_t *m,
                         unsigned home, unsigned workers)
{
	static uint64_t serial; /* the main thread's */
	zg_kin_t *k = calloc(1, sizeof *k);

	if (!k)
		return NULL;
	k->family = (zg_family_t){
		.module = m, .serial = ++serial, .placement = placement_of(m, s->conf),
		.home = home, .members = workers,
		.member = calloc(workers, sizeof *k->family.member),
		.shared = calloc(1, m->shared_size + 1),
	};
	zg_list_init(&k->link);
	k->busy = workers;
	k->born = k->now = c;
	c->refs += 2;
	if (k->family.member && k->family.shared)
		return k;
	zg_kin_free(k);
	return NULL;
}

void zg_kin_free(zg_kin_t *k)
{
	zg_cycle_unref(&k->born);
	zg_cycle_unref(&k->now);
	free(k->family.member);
	free(k->family.shared);
	free(k);
}

static int fill(zg_cycle_t *c, const zg_cycle_t *before, size_t i, unsigned workers)
{
	const zg_conf_t *conf = c->conf;
	bool location = i < conf->locations;
	const zg_service_t *service = location ? NULL : &conf->service[i - conf->locations];
	const zg_module_t *m = location ? conf->location[i]->module : service->module;
	zg_section_t *s = &c->section[i];
	const zg_section_t *was;

	s->location = location ? conf->location[i] : NULL;
	s->conf = location ? s->location->conf : service->conf;
	was = find(before, name_of(s, m), location, m);
	s->fate = was ? compare(was, s, m) : ZG_START;
	/* homes are spread over the workers as they come in the file */
	s->kin = s->fate != ZG_START ? was->kin : kin_new(c, s, m, (unsigned)(i % workers), workers);
	return s->kin ? 0 : -1;
}

/* ---- what is given up ---- */

static int free_addresses(zg_cycle_t *c, const zg_section_t *s)
{
	for (const zg_directive_t *row = s->kin->family.module->directives; row && row->name; row++) {
		const zg_endpoints_t *e = (const void *)((const char *)s->conf + row->offset);

		for (size_t i = 0; row->type == ZG_TYPE_SOCKET && i < e->count; i++) {
			const char **item;

			if (!e->item[i].bind)
				continue;
			item = reallocarray(c->freed.item, c->freed.count + 1, sizeof *item);
			if (!item)
				return -1;
			c->freed.item = item;
			c->freed.item[c->freed.count++] = e->item[i].address;
		}
	}
	return 0;
}

static int drop_rest(zg_cycle_t *c, const zg_cycle_t *before)
{
	if (!(c->dropped = calloc(before->sections + 1, sizeof *c->dropped)))
		return -1;
	for (size_t i = 0; i < before->sections; i++) {
		const zg_section_t *s = &before->section[i];
		bool kept = false;

		for (size_t k = 0; k < c->sections && !kept; k++)
			kept = c->section[k].kin == s->kin;
		if (kept)
			continue;
		c->dropped[c->drops++] = s->kin;
		if (free_addresses(c, s) != 0)
			return -1;
	}
	return 0;
}

/* ---- making and ending ---- */

zg_cycle_t *zg_cycle_new(zg_conf_t *conf, const zg_cycle_t *before, unsigned workers)
{
	zg_cycle_t *c = calloc(1, sizeof *c);

	if (!c) {
		zg_conf_free(&conf);
		return NULL;
	}
	c->refs = 1;
	c->conf = conf;
	c->section = calloc(conf->locations + conf->services + 1, sizeof *c->section);
	for (; c->section && c->sections < conf->locations + conf->services; c->sections++)
		if (fill(c, before, c->sections, workers) != 0)
			break;
	if (c->section && c->sections == conf->locations + conf->services &&
	    (!before || drop_rest(c, before) == 0))
		return c;
	zg_cycle_abort(&c);
	return NULL;
}

void zg_cycle_settle(zg_cycle_t *c)
{
	for (size_t i = 0; i < c->sections; i++) {
		zg_kin_t *k = c->section[i].kin;

		if (c->section[i].fate != ZG_RELOAD)
			continue;
		zg_cycle_unref(&k->now);
		k->now = c;
		c->refs++;
	}
}

void zg_cycle_end(zg_cycle_t **c)
{
	zg_cycle_t *cycle = *c;

	for (size_t i = 0; i < cycle->sections; i++)
		zg_kin_free(cycle->section[i].kin);
	zg_cycle_unref(c);
}

void zg_cycle_abort(zg_cycle_t **c)
{
	zg_cycle_t *cycle = *c;

	for (size_t i = 0; i < cycle->sections; i++)
		if (cycle->section[i].fate == ZG_START)
			zg_kin_free(cycle->section[i].kin);
	zg_cycle_unref(c);
}

void zg_cycle_unref(zg_cycle_t **handle)
{
	zg_cycle_t *c = *handle;

	*handle = NULL;
	if (!c || --c->refs > 0)
		return;
	zg_conf_free(&c->conf);
	free(c->section);
	free(c->dropped);
	free(c->freed.item);
	free(c);
}

void zg_cycle_notes(const zg_conf_t *running, const zg_conf_t *conf,
                    void (*note)(void *ctx, const char *sentence), void *ctx)
{
	char sentence[160];

	for (const zg_directive_t *row = zg_conf_gateway_rows; row->name; row++) {
		if (!row->fixed || !row_differs(row, &running->gateway, &conf->gateway))
			continue;
		snprintf(sentence, sizeof sentence,
		         "[gateway] %s has changed; this takes effect when zgate is started again", row->name);
		note(ctx, sentence);
	}
}
