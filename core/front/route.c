#include "front/route.h"

#include "base/target.h"

static zg_instance_t *find(zg_worker_t *w, zg_str_t path)
{
	const zg_conf_t *conf = w->conf;

	/* sorted: longest first, exact before prefix */
	for (size_t i = 0; i < conf->locations; i++) {
		const zg_location_t *l = conf->location[i];

		if (l->exact ? zg_str_eq(path, l->path)
		             : l->path.n == 1 || (zg_str_starts(path, l->path) &&
		                                  (path.n == l->path.n || path.p[l->path.n] == '/')))
			return w->location[i];
	}
	return NULL;
}

/* Bits of the narrowest block that holds the address; -1: none does. */
static int narrowest(const zg_nets_t *nets, const struct sockaddr *from)
{
	int bits = -1;

	for (size_t i = 0; i < nets->count; i++)
		if (nets->item[i].bits > bits && zg_net_has(&nets->item[i], from))
			bits = nets->item[i].bits;
	return bits;
}

/* The narrower block decides, `deny` at a tie; an address in neither may pass
 * unless there are only `allow` blocks. */
static bool address_ok(const zg_location_t *loc, const struct sockaddr *from)
{
	int allow = narrowest(&loc->allow, from), deny = narrowest(&loc->deny, from);

	if (allow < 0 && deny < 0)
		return loc->allow.count == 0 || loc->deny.count > 0;
	return allow > deny;
}

bool zg_route_origin_listed(const zg_location_t *loc, zg_str_t origin)
{
	for (size_t i = 0; i < loc->origins.count; i++)
		if (strcmp(loc->origins.item[i], "*") == 0 ||
		    zg_str_ieq(zg_str(loc->origins.item[i]), origin))
			return true;
	return false;
}

/* A page may speak to the host that served it, and to locations that list its
 * origin. Only browsers send Origin, so others are not concerned. */
static bool origin_ok(const zg_location_t *loc, const zg_head_t *head)
{
	static const zg_str_t schemes[] = { { "http://", 7 }, { "https://", 8 } };

	if (!head->origin.p || zg_route_origin_listed(loc, head->origin))
		return true;
	for (size_t i = 0; i < ZG_COUNT_OF(schemes); i++)
		if (zg_str_starts(head->origin, schemes[i]) &&
		    zg_str_ieq(zg_str_n(head->origin.p + schemes[i].n, head->origin.n - schemes[i].n),
		               head->host))
			return true;
	return false;
}

/* What changes something, or opens a WebSocket, is kept from foreign pages. */
static bool origin_matters(const zg_head_t *head, unsigned method)
{
	return head->wants_websocket || !(method & (ZG_GET | ZG_HEAD | ZG_OPTIONS));
}

/* What follows the location's path, without the slash. */
static zg_str_t below(zg_str_t path, const zg_location_t *loc)
{
	size_t skip = loc->path.n == 1 ? 0 : loc->path.n;

	if (skip < path.n && path.p[skip] == '/')
		skip++;
	return zg_str_n(path.p + skip, path.n - skip);
}

static int admit(const zg_location_t *loc, const zg_head_t *head, const struct sockaddr *from,
                 unsigned method, zg_refusal_t *no)
{
	char host[64];

	if (!address_ok(loc, from))
		return zg_refuse(no, 403, "%s is not open to %s", loc->name, zg_net_host(from, host));
	if (origin_matters(head, method) && !origin_ok(loc, head))
		return zg_refuse(no, 403,
		                 "pages from %.*s may not use %s; the operator can allow them with "
		                 "`origins = %.*s` in [location %s]",
		                 ZG_STR_ARG(head->origin), loc->name, ZG_STR_ARG(head->origin), loc->name);
	/* HEAD and OPTIONS are answered everywhere */
	if (!(method & (loc->method_bits | ZG_HEAD | ZG_OPTIONS))) {
		zg_refuse(no, 405, "%s does not take %.*s", loc->name, ZG_STR_ARG(head->method));
		no->header = "Allow";
		no->value = zg_method_list(loc->method_bits | ZG_HEAD | ZG_OPTIONS, no->room);
		return -1;
	}
	return 0;
}

int zg_route(zg_worker_t *w, const zg_head_t *head, const struct sockaddr *from, char *store,
             zg_request_t *req, zg_refusal_t *no)
{
	zg_str_t raw;
	long n;

	req->method = zg_method_bit(head->method);
	req->method_name = head->method;
	req->content_type = head->content_type;
	if (zg_str_eq(head->target, ZG_STR("*")))
		return 0; /* OPTIONS about the server as a whole: no location */
	if (!zg_target_split(head->target, &raw, &req->query))
		return zg_refuse(no, 400, "the request target is malformed");
	n = raw.n ? zg_target_normal(raw, store) : zg_target_normal(ZG_STR("/"), store);
	if (n < 0)
		return zg_refuse(no, 400, "the path is malformed: a bad percent escape, an encoded NUL, "
		                          "or \"..\" above the root");
	req->path = zg_str_n(store, (size_t)n);
	if (!(req->to = find(w, req->path)))
		return zg_refuse(no, 404, "no location serves %.*s", ZG_STR_ARG(req->path));
	req->below = below(req->path, req->to->location);
	return admit(req->to->location, head, from, req->method, no);
}
