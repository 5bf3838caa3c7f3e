/* suites: every suite of the unit tests, by name: test_NAME.c defines
 * suite_NAME(). To add one, add its name here. */
#ifndef ZG_TESTS_SUITES_H
#define ZG_TESTS_SUITES_H

#include <check.h>

#define SUITES(X)                                                                         \
	X(str) X(err) X(buf) X(msg) X(list) X(timeq) X(ring) X(map) X(trie) X(slots)      \
	X(unit) X(utf8) X(head) X(target) X(net) X(form) X(memory)                     \
	X(config) X(directive) X(format) X(repeat)

#define SUITE_DECLARE(name) Suite *suite_##name(void);
SUITES(SUITE_DECLARE)

#endif
