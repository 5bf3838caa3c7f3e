/* hello: an HTTP backend (libmicrohttpd, one epoll thread) that takes any body
 * and answers "World".
 * usage: hello port */
#include "util.h"
#include <microhttpd.h>

static enum MHD_Result handle(void *response, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state)
{
	static int started;

	(void)url, (void)method, (void)version, (void)data;
	if (!*state) {
		*state = &started;
		return MHD_YES;
	}
	if (*size) {
		*size = 0;
		return MHD_YES;
	}
	return MHD_queue_response(c, 200, response);
}

int main(int ac, char **av)
{
	static char world[] = "World";
	struct MHD_Response *response;
	struct sockaddr_in a;

	if (ac != 2)
		die("usage: hello port");
	a = loopback(atoi(av[1]));
	response = MHD_create_response_from_buffer(5, world, MHD_RESPMEM_PERSISTENT);
	if (!MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO, 0, NULL, NULL,
	                      handle, response, MHD_OPTION_SOCK_ADDR, &a,
	                      MHD_OPTION_CONNECTION_LIMIT, 10000u, MHD_OPTION_END))
		die("hello: cannot listen on port %s", av[1]);
	pause();
	return 0;
}
