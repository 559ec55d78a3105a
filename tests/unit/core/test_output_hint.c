/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/output_hint.h"

static void addresses_in_use(void **context)
{
	static const struct {
		const char *text;
		int port; /* -1: no address is in use */
	} cases[] = {
	        {"", -1},
	        {"started on 0.0.0.0:80\n", -1},
	        {"Error: listen EADDRINUSE: address already in use :::9229\n    at 1:2\n", 9229},
	        {"at 1:2\nError: listen EADDRINUSE: address already in use 127.0.0.1:47200", 47200},
	        {"2026/11/30 03:44:59 [emerg] 7#7: bind() to 0.0.0.0:80 failed (98: Address "
	         "already in use)\n",
	         80},
	        {"2009/11/10 23:00:00 listen tcp :8080: bind: address already in use", 8080},
	        {"Web server failed to start. Port 8080 was already in use.", 8080},
	        {"OSError: [Errno 98] Address already in use", 0},
	        {"EADDRINUSE /run/app.sock", 0},
	        {"EADDRINUSE :99999999999999999999", 0},
	        {"Address in use :", 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint16_t port = 1;
		const bool found = output_hint_address_in_use(cases[i].text, &port);

		assert_int_equal(found, cases[i].port >= 0);
		assert_int_equal(port, found ? cases[i].port : 1);
	}
}

static void runs_already(void **context)
{
	static const char *const yes[] = {
	        "scheduler: already running with pid 7\n",
	        "FATAL: lock file \"postmaster.pid\" already exists",
	        "Could not lock /run/app.lock",
	        "listen EADDRINUSE: address already in use :::80",
	        "cannot create PID file",
	};

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		assert_true(output_hint_runs_already(yes[i]));
	assert_false(output_hint_runs_already(""));
	assert_false(output_hint_runs_already("TypeError: x is not a function\n"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(addresses_in_use),
	        cmocka_unit_test(runs_already),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
