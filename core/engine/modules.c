#include "engine/worker.h"
#include <dlfcn.h>

static bool is_name(const char *name)
{
	if (!name || !(name[0] >= 'a' && name[0] <= 'z'))
		return false;
	return name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

static const char *shared_row(const zg_directive_t *a, const zg_directive_t *b)
{
	for (; a && a->name; a++)
		for (const zg_directive_t *r = b; r && r->name; r++)
			if (r != a && !strcmp(a->name, r->name))
				return a->name;
	return NULL;
}

/* A name that two rows claim would be one directive with two meanings. */
static int check_rows(const zg_module_t *module, const char *from, zg_err_t *err)
{
	const char *twice = shared_row(module->directives, module->directives);
	const char *core = module->kind == ZG_BRIDGE
	                           ? shared_row(module->directives, zg_conf_location_rows) : NULL;

	for (const zg_counter_t *a = module->kind == ZG_BRIDGE ? module->counters : NULL; a && a->name; a++)
		for (const zg_counter_t *b = zg_location_counter_rows; b->name; b++)
			if (!strcmp(a->name, b->name))
				return zg_err(err, "%s: module \"%s\" declares the counter \"%s\", which every "
				              "location has already", from, module->name, a->name);
	if (twice)
		return zg_err(err, "%s: module \"%s\" declares the directive \"%s\" twice", from,
		              module->name, twice);
	if (core)
		return zg_err(err, "%s: module \"%s\" declares the directive \"%s\", which every "
		              "location has already", from, module->name, core);
	return 0;
}

int zg_modules_add(zg_modules_t *m, const zg_module_t *module, void *handle, const char *from,
                   zg_err_t *err)
{
	/* first: with another ABI the other members may lie elsewhere */
	if (module->abi != ZG_MODULE_ABI)
		return zg_err(err, "%s: built for module ABI %u, but this zgate has module ABI %u; "
		              "build the module again with this zgate's headers", from, module->abi,
		              (unsigned)ZG_MODULE_ABI);
	if (!is_name(module->name))
		return zg_err(err, "%s: \"%s\" is no name of a module; it must be made of a-z, 0-9 "
		              "and _ and begin with a letter", from,
		              module->name ? module->name : "");
	if (!strcmp(module->name, "gateway") || !strcmp(module->name, "location"))
		return zg_err(err, "%s: a module cannot be named \"%s\"", from, module->name);
	if (zg_modules_find(m, zg_str(module->name)))
		return zg_err(err, "%s: there is a module \"%s\" already", from, module->name);
	if (m->count == ZG_COUNT_OF(m->item))
		return zg_err(err, "%s: no more than %zu modules can be loaded", from,
		              ZG_COUNT_OF(m->item));
	if (check_rows(module, from, err) < 0)
		return -1;
	m->item[m->count] = module;
	m->handle[m->count++] = handle;
	return 0;
}

int zg_modules_load(zg_modules_t *m, const char *path, zg_err_t *err)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const zg_module_t *module;

	if (!handle)
		return zg_err(err, "%s", dlerror()); /* names the file */
	module = dlsym(handle, "zg_module");
	if (!module)
		zg_err(err, "%s: is no zgate module: it has no symbol zg_module", path);
	if (!module || zg_modules_add(m, module, handle, path, err) < 0) {
		dlclose(handle);
		return -1;
	}
	return 0;
}

const zg_module_t *zg_modules_find(const zg_modules_t *m, zg_str_t name)
{
	for (size_t i = 0; i < m->count; i++)
		if (zg_str_eq(zg_str(m->item[i]->name), name))
			return m->item[i];
	return NULL;
}

void zg_modules_unload(zg_modules_t *m)
{
	while (m->count) {
		m->count--;
		if (m->handle[m->count])
			dlclose(m->handle[m->count]);
	}
}
