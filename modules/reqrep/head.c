#include "reqrep.h"
#include <jansson.h>
#include <stdlib.h>

#define FIELDS_MAX 100

/* What frames the answer or belongs to one connection is the gateway's. */
static const char *const reserved[] = {
	"Connection", "Content-Length", "Date", "Keep-Alive", "Proxy-Connection", "TE", "Trailer",
	"Transfer-Encoding", "Upgrade", "X-Request-ID",
};

/* RFC 9110, 5.6.2: a token */
static bool is_token(const char *s)
{
	static const char also[] = "!#$%&'*+-.^_`|~";

	if (!*s)
		return false;
	for (; *s; s++)
		if (!((*s >= '0' && *s <= '9') || (*s >= 'A' && *s <= 'Z') ||
		      (*s >= 'a' && *s <= 'z') || strchr(also, *s)))
			return false;
	return true;
}

/* RFC 9110, 5.5, without the white space that would be stripped */
static bool is_field_value(const char *s)
{
	size_t n = strlen(s);

	if (n > 0 && (s[0] == ' ' || s[0] == '\t' || s[n - 1] == ' ' || s[n - 1] == '\t'))
		return false;
	for (; *s; s++)
		if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

static bool same_name(const char *a, const char *b)
{
	return zg_str_ieq(zg_str(a), zg_str(b));
}

static int check_value(const char *name, const json_t *value, zg_err_t *err)
{
	if (!json_is_string(value))
		return zg_err(err, "the value of header \"%s\" is no string", name);
	if (!is_field_value(json_string_value(value)))
		return zg_err(err, "the value of header \"%s\" has control characters or "
		              "white space around it", name);
	return 0;
}

static int check_field(reqrep_head_t *h, const char *name, const json_t *value, zg_err_t *err)
{
	size_t i;
	json_t *one;

	if (!is_token(name))
		return zg_err(err, "\"%.64s\" is no header name", name);
	for (i = 0; i < ZG_COUNT_OF(reserved); i++)
		if (same_name(name, reserved[i]))
			return zg_err(err, "header %s is the gateway's, leave it out", reserved[i]);
	if (same_name(name, "Content-Type")) {
		if (h->content_type)
			return zg_err(err, "header Content-Type is there twice");
		if (check_value(name, value, err) != 0)
			return -1;
		h->content_type = json_string_value(value);
		return 0;
	}
	if (!json_is_array(value))
		return check_value(name, value, err);
	json_array_foreach(value, i, one)
		if (check_value(name, one, err) != 0)
			return -1;
	return 0;
}

static int check_status(reqrep_head_t *h, const json_t *status, zg_err_t *err)
{
	json_int_t n = status ? json_integer_value(status) : 200;

	if (status && !json_is_integer(status))
		return zg_err(err, "\"status\" in its head is no integer");
	if (n < 200 || n > 599)
		return zg_err(err, "status %" JSON_INTEGER_FORMAT " in its head is not "
		              "within 200 to 599", n);
	h->status = (unsigned)n;
	return 0;
}

static int check_headers(reqrep_head_t *h, json_t *headers, zg_err_t *err)
{
	const char *name;
	json_t *value;
	size_t n = 0;

	if (headers && !json_is_object(headers))
		return zg_err(err, "\"headers\" in its head is no object");
	json_object_foreach(headers, name, value) {
		n += json_is_array(value) ? json_array_size(value) : 1;
		if (n > FIELDS_MAX)
			return zg_err(err, "its head has more than %d header fields", FIELDS_MAX);
		if (check_field(h, name, value, err) != 0)
			return -1;
	}
	return 0;
}

static int add_field(zg_request_t *req, const char *name, const json_t *value)
{
	size_t i;
	json_t *one;

	if (!json_is_array(value))
		return zg_request_add_header(req, name, json_string_value(value));
	json_array_foreach(value, i, one)
		if (zg_request_add_header(req, name, json_string_value(one)) != 0)
			return -1;
	return 0;
}

/* All is checked before the first is added: a 502 carries none of them. */
static int add_headers(zg_request_t *req, json_t *headers, zg_err_t *err)
{
	const char *name;
	json_t *value;

	json_object_foreach(headers, name, value)
		if (!same_name(name, "Content-Type") && add_field(req, name, value) != 0)
			return zg_err(err, "header \"%s\" was refused", name);
	return 0;
}

/* what jansson quotes of the input may be cut within a character */
static const char *ascii(char *s)
{
	for (char *p = s; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			*p = '?';
	return s;
}

int reqrep_head_apply(reqrep_head_t *h, zg_str_t text, zg_request_t *req, zg_err_t *err)
{
	json_error_t why;
	json_t *headers;

	*h = (reqrep_head_t){ .status = 200 };
	if (text.n > REQREP_HEAD_MAX)
		return zg_err(err, "its first frame, the head, has more than %d bytes",
		              REQREP_HEAD_MAX);
	h->json = json_loadb(text.n ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &why);
	if (!h->json)
		return zg_err(err, "its first frame is no JSON head such as {\"status\":200,"
		              "\"headers\":{}} (%s); send a body alone or [head][body]",
		              ascii(why.text));
	if (!json_is_object((json_t *)h->json))
		return zg_err(err, "its first frame is JSON, but no object "
		              "{\"status\",\"headers\"}");
	headers = json_object_get(h->json, "headers");
	if (check_status(h, json_object_get(h->json, "status"), err) != 0 ||
	    check_headers(h, headers, err) != 0)
		return -1;
	return add_headers(req, headers, err);
}

void reqrep_head_free(reqrep_head_t *h)
{
	json_decref(h->json);
	h->json = NULL;
}
