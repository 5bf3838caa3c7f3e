/* options: the command line. */
#ifndef ZG_GATEWAY_OPTIONS_H
#define ZG_GATEWAY_OPTIONS_H

typedef enum zg_action {
	ZG_RUN, ZG_TEST, ZG_PRINT, ZG_LIST, ZG_VERSION_SHORT, ZG_VERSION_LONG, ZG_HELP,
	ZG_TELL,
} zg_action_t;

typedef struct zg_options {
	zg_action_t action;
	char prefix[4096], file[4096]; /* absolute, no trailing slash */
	const char *list;              /* of -L; NULL: all */
	const char *tell;              /* of -s */
	const char **set;              /* of -g; NULL-terminated, to be freed */
} zg_options_t;

/* -1: the mistake has been told on standard error. */
int zg_options_parse(zg_options_t *o, int argc, char **argv);
void zg_options_help(void); /* to standard output */

#endif
