#include "pipeline.h"
#include <errno.h>
#include <openssl/evp.h>

static int add_text(zg_buf_t *b, const char *name, zg_str_t s)
{
	if (zg_buf_printf(b, ",\"%s\":", name) < 0)
		return -1;
	if (!s.p)
		return zg_buf_add_str(b, ZG_STR("null"));
	/* file names come in whatever the client's system uses */
	return zg_utf8_add_json(b, s);
}

static int add_sha256(zg_buf_t *b, zg_str_t body)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	/* fails only when out of memory */
	if (EVP_Digest(body.n ? body.p : "", body.n, digest, &n, EVP_sha256(), NULL) != 1) {
		errno = ENOMEM;
		return -1;
	}
	for (unsigned i = 0; i < n; i++)
		if (zg_buf_printf(b, "%02x", digest[i]) < 0)
			return -1;
	return 0;
}

int zg_meta_add(zg_buf_t *b, const char *id, const struct pipeline_file *file)
{
	return zg_buf_printf(b, "{\"id\":\"%s\"", id) < 0 ||
	       add_text(b, "filename", file->filename) < 0 ||
	       add_text(b, "content_type", file->content_type) < 0 ||
	       zg_buf_printf(b, ",\"bytes\":%zu,\"sha256\":\"", file->body.n) < 0 ||
	       add_sha256(b, file->body) < 0 ||
	       zg_buf_add_str(b, ZG_STR("\"}")) < 0 ? -1 : 0;
}
