#include "gateway/options.h"

#include "config.h"
#include "gateway/control.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void zg_options_help(void)
{
	puts("zgate " ZG_VERSION ": HTTP and WebSocket in front of ZeroMQ programs\n"
	     "\n"
	     "usage: zgate [-p PREFIX] [-c FILE] [-g SECTION.KEY=VALUE]... [-t|-T]\n"
	     "       zgate [-p PREFIX] [-c FILE] -s stop|quit|reload|reopen\n"
	     "       zgate -L [MODULE] | -v | -V | -h\n"
	     "\n"
	     "  -p PREFIX   what relative paths are relative to (" ZG_PREFIX ")\n"
	     "  -c FILE     the configuration (conf/gateway.ini); relative to the prefix\n"
	     "  -g S.K=V    sets a value over the file's, e.g. -g gateway.log_level=debug\n"
	     "  -t          tests the configuration, and what it would open, and exits\n"
	     "  -T          prints the configuration in effect and exits\n"
	     "  -L [NAME]   lists directives with help: of a module, `gateway`, `location`, or all\n"
	     "  -s WORD     asks the zgate that runs, found by `pid` in the configuration; exits\n"
	     "              with 1 and the reason if it refused, or if none runs:\n"
	     "                stop    end within a second; waits until it has ended\n"
	     "                quit    end when what has begun is finished; waits as well\n"
	     "                reload  read the configuration anew; waits for the outcome\n"
	     "                reopen  open the log files again\n"
	     "  -v, -V      version; with build and libraries\n"
	     "\n"
	     "Without -t, -T, -L, -s: runs in the foreground. TERM and INT stop it, QUIT lets\n"
	     "it finish what it has begun, HUP reloads, USR1 opens the logs again.");
}

static int absolute(const char *path, const char *base, char out[4096])
{
	int n;

	if (path[0] == '/')
		n = snprintf(out, 4096, "%s", path);
	else
		n = snprintf(out, 4096, "%s/%s", base, path);
	if (n >= 4096)
		return -1;
	while (n > 1 && out[n - 1] == '/')
		out[--n] = '\0';
	return 0;
}

int zg_options_parse(zg_options_t *o, int argc, char **argv)
{
	const char *prefix = ZG_PREFIX, *file = "conf/gateway.ini";
	char here[4096];
	size_t sets = 0;
	int c;

	*o = (zg_options_t){ .set = calloc((size_t)argc + 1, sizeof *o->set) };
	if (!o->set)
		return -1;
	while ((c = getopt(argc, argv, ":p:c:g:s:tTLvVh")) != -1) {
		switch (c) {
		case 'p': prefix = optarg; break;
		case 'c': file = optarg; break;
		case 'g': o->set[sets++] = optarg; break;
		case 's':
			o->action = ZG_TELL;
			o->tell = optarg;
			break;
		case 't': o->action = ZG_TEST; break;
		case 'T': o->action = ZG_PRINT; break;
		case 'L': o->action = ZG_LIST; break;
		case 'v': o->action = ZG_VERSION_SHORT; break;
		case 'V': o->action = ZG_VERSION_LONG; break;
		case 'h': o->action = ZG_HELP; break;
		case ':':
			fprintf(stderr, "zgate: -%c needs a value; try `zgate -h`\n", optopt);
			return -1;
		default:
			fprintf(stderr, "zgate: -%c is not an option; try `zgate -h`\n", optopt);
			return -1;
		}
	}
	if (o->tell && !zg_control_signal(o->tell)) {
		fprintf(stderr, "zgate: -s %s: write stop, quit, reload or reopen\n", o->tell);
		return -1;
	}
	if (o->action == ZG_LIST && optind < argc)
		o->list = argv[optind++];
	if (optind < argc) {
		fprintf(stderr, "zgate: \"%s\" is not an option; try `zgate -h`\n", argv[optind]);
		return -1;
	}
	/* the prefix is relative to where one stands, all else to the prefix */
	if (!getcwd(here, sizeof here) || absolute(prefix, here, o->prefix) != 0 ||
	    absolute(file, o->prefix, o->file) != 0) {
		fprintf(stderr, "zgate: the path is too long\n");
		return -1;
	}
	return 0;
}
