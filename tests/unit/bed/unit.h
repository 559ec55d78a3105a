/* SPDX-License-Identifier: BSD-2-Clause */
/* cmocka, with the headers that it needs, and the main() of all unit test programs. */
#pragma once

/* clang-format off: cmocka.h needs the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

/* Runs all tests, or with arguments "-k NAME" the tests with a NAME in their name. @setup and
 * @teardown (or NULL) are of the group. Returns the exit status: the number of tests that failed,
 * or 2 if no test is selected. */
int unit_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n,
              CMFixtureFunction setup, CMFixtureFunction teardown);
