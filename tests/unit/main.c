#include "suites.h"
#include <stdlib.h>

#define SUITE_ENTRY(name) suite_##name,

int main(void)
{
	static Suite *(*const suites[])(void) = { SUITES(SUITE_ENTRY) };
	SRunner *runner = srunner_create(NULL);
	int failed;

	for (size_t i = 0; i < sizeof(suites) / sizeof(*suites); i++)
		srunner_add_suite(runner, suites[i]());
	srunner_run_all(runner, CK_ENV); /* CK_FORK and CK_VERBOSITY are honoured */
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
