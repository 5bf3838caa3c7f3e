#include "engine/conf_load.h"
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define WORKERS_MAX 64

/* What a module's check hook reports with. */
struct zg_check {
	zg_load_t *load;
	const zg_part_t *part;
};

void zg_check_error(zg_check_t *check, const char *directive, const char *format, ...)
{
	const zg_ini_section_t *raw = check->part->raw;
	const zg_ini_entry_t *e = directive ? zg_ini_find(raw, directive) : NULL;
	char what[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	zg_conf_error(check->load, e ? e->file : raw->file, e ? e->line : raw->line, raw->name,
	              directive, "%s", what);
}

const zg_location_t *zg_check_location(const zg_check_t *check)
{
	return check->part->location;
}

/* Static modules are linked in: one that is refused is the build's mistake. */
static void add_static_modules(zg_load_t *l)
{
	zg_err_t err;

	for (const zg_module_t *const *m = zg_modules_static; *m; m++)
		if (zg_modules_add(l->conf->modules, *m, NULL, "built in", &err) < 0)
			zg_conf_error(l, "modules", 0, NULL, NULL, "%s", err.text);
}

static const zg_part_t *gateway_part(const zg_load_t *l)
{
	const zg_part_t *p = l->first;

	while (p && p->kind != ZG_PART_GATEWAY)
		p = p->next;
	return p;
}

/* Values that follow from others. */
static void finish_gateway(zg_load_t *l)
{
	const zg_part_t *part = gateway_part(l);
	zg_gateway_t *to = &l->conf->gateway;
	zg_suggest_t near = { 0 };
	char text[256];
	zg_err_t err;

	if (!part || !to->access_format)
		return;
	to->format = zg_format_compile(zg_str(to->access_format), l->conf->pool, &err, &near.word);
	if (to->format)
		return;
	if (near.word.n && memchr(to->access_format, '$', strlen(to->access_format)))
		for (const zg_format_var_t *v = zg_format_vars; v->name; v++)
			zg_suggest_add(&near, v->name);
	else if (near.word.n)
		for (size_t i = 0; zg_format_names[i]; i++)
			zg_suggest_add(&near, zg_format_names[i]);
	zg_suggest_text(&near, "; write combined, json, or a text with variables, which `zgate -L "
	                "access_format` lists", text);
	zg_conf_error_at(l, part, zg_ini_find(part->raw, "access_format"), "%s%s", err.text,
	                 near.word.n ? text : "");
}

static void finish_location(zg_load_t *l, zg_part_t *part)
{
	zg_location_t *to = part->location;
	const zg_directive_t *methods = zg_conf_find_row(zg_conf_location_rows, "methods");
	zg_err_t err;

	to->module = part->module;
	to->conf = part->conf;
	if (!zg_ini_find(part->raw, "max_body"))
		to->max_body = l->conf->gateway.max_body;
	if (!to->methods.count && part->module && part->module->methods &&
	    zg_directive_set(methods, to, zg_str(part->module->methods), NULL, l->conf->pool,
	                     &err) < 0)
		zg_conf_error_at(l, part, NULL, "methods of %s: %s", part->module->name, err.text);
	for (size_t i = 0; i < to->methods.count; i++)
		to->method_bits |= zg_method_bit(zg_str(to->methods.item[i]));
	if (to->method_bits & ZG_GET)
		to->method_bits |= ZG_HEAD;
}

static int compare_locations(const void *a, const void *b)
{
	const zg_location_t *x = *(zg_location_t *const *)a, *y = *(zg_location_t *const *)b;
	int order;

	if (x->path.n != y->path.n)
		return x->path.n < y->path.n ? 1 : -1;
	order = strcmp(x->path.p, y->path.p);
	return order ? order : (int)y->exact - (int)x->exact;
}

static int collect(zg_load_t *l)
{
	zg_conf_t *c = l->conf;
	size_t parts = 0;

	for (const zg_part_t *p = l->first; p; p = p->next)
		parts++;
	c->location = zg_pool_alloc(c->pool, parts * sizeof(zg_location_t *));
	c->service = zg_pool_alloc(c->pool, parts * sizeof(*c->service));
	if (!c->location || !c->service)
		return -1;
	for (zg_part_t *p = l->first; p; p = p->next)
		if (p->kind == ZG_PART_LOCATION && p->location)
			c->location[c->locations++] = p->location;
		else if (p->kind == ZG_PART_SERVICE)
			c->service[c->services++] = (zg_service_t){ p->module, p->conf };
	qsort(c->location, c->locations, sizeof(zg_location_t *), compare_locations);
	for (size_t i = 0; i < c->locations; i++)
		c->location[i]->index = (unsigned)i;
	return 0;
}

static void check_overflow(zg_load_t *l, zg_part_t *p)
{
	if (p->location && p->location->overflow == ZG_OVERFLOW_CONFLATE && p->module &&
	    !p->module->ws_lag)
		zg_check_error(&(zg_check_t){ l, p }, "overflow",
		               "conflate is for bridges that know topics, such as pubsub; write drop_oldest "
		               "or disconnect");
}

/* A hook sees whole values only: what follows from a reported mistake would be
 * noise. */
static void run_checks(zg_load_t *l)
{
	for (zg_part_t *p = l->first; p; p = p->next) {
		check_overflow(l, p);
		if (p->module && p->module->check && !p->errors)
			p->module->check(&(zg_check_t){ l, p }, p->conf);
	}
}

static void apply(zg_load_t *l)
{
	zg_conf_parts(l);
	finish_gateway(l);
	for (zg_part_t *p = l->first; p; p = p->next) {
		if (p->kind == ZG_PART_GATEWAY || (p->kind == ZG_PART_LOCATION && !p->location))
			continue;
		zg_conf_apply(l, p);
		if (p->kind == ZG_PART_LOCATION)
			finish_location(l, p);
	}
	if (collect(l) < 0)
		zg_conf_no_memory(l);
	run_checks(l);
	if (!l->errors && !l->conf->locations)
		zg_conf_error(l, l->label, 0, NULL, NULL,
		              "nothing to serve: add a [location /] section");
}

static zg_conf_t *new_conf(const zg_conf_options_t *options)
{
	zg_pool_t *pool = zg_pool_new();
	zg_conf_t *c = pool ? zg_pool_alloc(pool, sizeof(*c)) : NULL;

	if (!c)
		goto fail;
	c->pool = pool;
	c->modules = zg_pool_alloc(pool, sizeof(*c->modules));
	c->prefix = zg_pool_strdup(pool, zg_str(options->prefix));
	c->file = options->file ? zg_pool_strdup(pool, zg_str(options->file)) : NULL;
	if (c->modules && c->prefix && (c->file || !options->file))
		return c;
fail:
	zg_pool_free(&pool);
	return NULL;
}

zg_conf_t *zg_conf_load(const zg_conf_options_t *options)
{
	zg_load_t l = { .options = options, .conf = new_conf(options) };

	if (!l.conf) {
		zg_conf_no_memory(&l);
		return NULL;
	}
	add_static_modules(&l);
	if (zg_conf_read(&l) < 0)
		zg_conf_no_memory(&l);
	else
		apply(&l);
	if (l.errors && !options->faulty)
		zg_conf_free(&l.conf);
	return l.conf;
}

const char *zg_conf_origin(const zg_conf_t *conf, const zg_directive_t *row, const void *of,
                           size_t item, char out[512])
{
	for (const zg_origin_t *o = conf->origins; o; o = o->next)
		if (o->row == row && o->of == of && item >= o->from && item < o->to)
			return zg_conf_place(o->file, o->line, out);
	return zg_conf_place(conf->file ? conf->file : ZG_CONF_SET, 0, out);
}

unsigned zg_conf_workers(const zg_conf_t *conf)
{
	cpu_set_t set;
	int n = (int)conf->gateway.workers;

	if (n == 0 && sched_getaffinity(0, sizeof(set), &set) == 0)
		n = CPU_COUNT(&set);
	return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (unsigned)n;
}

void zg_conf_free(zg_conf_t **conf)
{
	zg_pool_t *pool;

	if (!*conf)
		return;
	zg_modules_unload((*conf)->modules);
	pool = (*conf)->pool; /* holds the configuration itself */
	*conf = NULL;
	zg_pool_free(&pool);
}
