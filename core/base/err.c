#include "base/err.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int zg_err(zg_err_t *err, const char *format, ...)
{
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, format);
	if (vsnprintf(err->text, sizeof(err->text), format, ap) < 0)
		err->text[0] = '\0';
	va_end(ap);
	return -1;
}

int zg_err_prefix(zg_err_t *err, const char *format, ...)
{
	char was[sizeof(err->text)];
	va_list ap;
	int n;

	if (!err)
		return -1;
	memcpy(was, err->text, sizeof(was));
	va_start(ap, format);
	n = vsnprintf(err->text, sizeof(err->text), format, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	/* that the end may be cut off is meant */
	if ((size_t)n < sizeof(err->text) &&
	    snprintf(err->text + n, sizeof(err->text) - (size_t)n, ": %s", was) < 0)
		err->text[n] = '\0';
	return -1;
}
