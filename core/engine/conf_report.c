#include "engine/conf_load.h"
#include <stdarg.h>
#include <stdio.h>

const char *zg_conf_place(const char *file, unsigned line, char out[512])
{
	if (line)
		snprintf(out, 512, "%s:%u", file, line);
	else
		snprintf(out, 512, "%s", file);
	return out;
}

static void report(zg_load_t *l, const char *file, unsigned line, const char *section,
                   const char *key, const char *what)
{
	char place[512], sentence[3072];

	zg_conf_place(file, line, place);
	if (!section)
		snprintf(sentence, sizeof(sentence), "%s: %s", place, what);
	else
		snprintf(sentence, sizeof(sentence), "%s: [%.150s]%s%.100s: %s", place, section,
		         key ? " " : "", key ? key : "", what);
	l->errors++;
	l->options->error(l->options->ctx, sentence);
}

void zg_conf_error(zg_load_t *l, const char *file, unsigned line, const char *section,
                   const char *key, const char *format, ...)
{
	char what[2048];
	va_list ap;

	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	report(l, file, line, section, key, what);
}

void zg_conf_error_at(zg_load_t *l, const zg_part_t *part, const zg_ini_entry_t *entry,
                      const char *format, ...)
{
	char what[2048];
	va_list ap;

	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	if (entry)
		report(l, entry->file, entry->line, part->raw->name, entry->name, what);
	else
		report(l, part->raw->file, part->raw->line, part->raw->name, NULL, what);
}

void zg_conf_no_memory(zg_load_t *l)
{
	zg_conf_error(l, "configuration", 0, NULL, NULL, "out of memory");
}

/* Client_Queue, client-queue and client_queue are one word to people. */
static bool same_but_form(zg_str_t a, zg_str_t b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		char x = a.p[i] == '-' ? '_' : a.p[i], y = b.p[i] == '-' ? '_' : b.p[i];

		if (!zg_str_ieq(zg_str_n(&x, 1), zg_str_n(&y, 1)))
			return false;
	}
	return true;
}

void zg_suggest_add(zg_suggest_t *s, const char *candidate)
{
	zg_str_t c = zg_str(candidate);
	unsigned distance = same_but_form(s->word, c) ? 0 : zg_str_distance(s->word, c);

	/* two changes make any two-letter word of any other */
	if (distance > 2 || (distance && (distance >= s->word.n || distance >= c.n)))
		return;
	if (!s->best || distance < s->distance) {
		s->best = candidate;
		s->distance = distance;
	}
}

void zg_suggest_rows(zg_suggest_t *s, const zg_directive_t *rows)
{
	for (; rows && rows->name; rows++)
		zg_suggest_add(s, rows->name);
}

const char *zg_suggest_text(const zg_suggest_t *s, const char *otherwise, char out[256])
{
	if (s->best)
		snprintf(out, 256, "; did you mean \"%s\"?", s->best);
	else
		snprintf(out, 256, "%s", otherwise);
	return out;
}
