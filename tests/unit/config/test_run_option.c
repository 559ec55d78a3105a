/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/strv.h"
#include "bed/unit.h"
#include "config/run_option.h"
#include "core/endpoint.h"

#define CPUS 6

static void expect(struct run_config *config, const char *name, const char *value)
{
	struct error err;

	if (run_option_set(config, name, value, CPUS, &err) != 0)
		fail_msg("%s %s: %s", name, value ? value : "", err.text);
}

static void numbers_and_times(void **state)
{
	struct run_config c;

	run_config_init(&c);
	expect(&c, "workers", "max");
	assert_int_equal(c.workers, CPUS);
	expect(&c, "workers", "3");
	assert_int_equal(c.workers, 3);
	expect(&c, "ready-timeout", "1");
	expect(&c, "settle", "2");
	expect(&c, "health-interval", "3");
	expect(&c, "health-timeout", "4");
	expect(&c, "drain-timeout", "5");
	expect(&c, "kill-timeout", "6");
	expect(&c, "park-timeout", "7");
	expect(&c, "restart-delay", "8");
	expect(&c, "min-uptime", "9");
	expect(&c, "backoff", "10ms..1.5s");
	assert_int_equal(c.ready_timeout, NS_PER_S);
	assert_int_equal(c.settle, 2 * NS_PER_S);
	assert_int_equal(c.health_interval, 3 * NS_PER_S);
	assert_int_equal(c.health_timeout, 4 * NS_PER_S);
	assert_int_equal(c.drain_timeout, 5 * NS_PER_S);
	assert_int_equal(c.kill_timeout, 6 * NS_PER_S);
	assert_int_equal(c.park_timeout, 7 * NS_PER_S);
	assert_int_equal(c.restart_delay, 8 * NS_PER_S);
	assert_int_equal(c.min_uptime, 9 * NS_PER_S);
	assert_int_equal(c.backoff_min, NS_PER_S / 100);
	assert_int_equal(c.backoff_max, NS_PER_S * 3 / 2);
	expect(&c, "health-failures", "11");
	expect(&c, "max-restarts", "12");
	expect(&c, "batch", "13");
	expect(&c, "max-former", "3");
	assert_int_equal(c.health_failures, 11);
	assert_int_equal(c.max_restarts, 12);
	assert_int_equal(c.batch, 13);
	assert_int_equal(c.max_former, 3);
	expect(&c, "max-memory", "300M");
	expect(&c, "memory-limit", "1G");
	expect(&c, "cpu-limit", "150%");
	assert_int_equal(c.max_memory, 300 << 20);
	assert_int_equal(c.memory_limit, 1 << 30);
	assert_int_equal(c.cpu_limit, 1500);
	expect(&c, "stop-signal", "SIGINT");
	expect(&c, "drain-signal", "USR1");
	assert_int_equal(c.stop_signal, SIGINT);
	assert_int_equal(c.drain_signal, SIGUSR1);
	run_config_free(&c);
}

static void texts(void **state)
{
	struct run_config c;

	run_config_init(&c);
	expect(&c, "service", "web");
	expect(&c, "label", "v42");
	expect(&c, "policy", "sticky");
	expect(&c, "user", "www-data");
	expect(&c, "group", "33");
	expect(&c, "cwd", "/srv/old");
	expect(&c, "cwd", "/srv/app"); /* the last one holds */
	expect(&c, "out-file", "out.log");
	expect(&c, "error-file", "error.log");
	expect(&c, "increment-var", "PORT");
	expect(&c, "instance-var", "INSTANCE");
	expect(&c, "log-file", "all.log");
	expect(&c, "cron-restart", "0 4 * * *");
	expect(&c, "env", "A=1");
	expect(&c, "env", "B=2");
	expect(&c, "env", "A=3");
	expect(&c, "env-file", "one");
	expect(&c, "env-file", "two");
	assert_string_equal(c.service, "web");
	assert_string_equal(c.label, "v42");
	assert_int_equal(c.dealing.policy, RPD_STICKY);
	assert_string_equal(c.user, "www-data");
	assert_string_equal(c.group, "33");
	assert_string_equal(c.cwd, "/srv/app");
	assert_string_equal(c.out_file, "out.log");
	assert_string_equal(c.error_file, "error.log");
	assert_string_equal(c.increment_vars[0], "PORT");
	assert_string_equal(c.instance_var, "INSTANCE");
	assert_string_equal(c.log_file, "all.log");
	assert_string_equal(c.cron_restart, "0 4 * * *");
	assert_int_equal(strv_length(c.env), 2);
	assert_string_equal(c.env[0], "A=3");
	assert_string_equal(c.env[1], "B=2");
	assert_int_equal(strv_length(c.env_files), 2);
	assert_string_equal(c.env_files[1], "two");
	run_config_free(&c);
}

/* A flag without a value, with yes, and with no, whatever its value was before. */
static void flags(void **state)
{
	static const struct {
		const char *name;
		size_t at;
		bool negated;
	} cases[] = {
	        {"pass-sockets", offsetof(struct run_config, pass_sockets)},
	        {"no-count", offsetof(struct run_config, no_count)},
	        {"http", offsetof(struct run_config, http)},
	        {"merge-logs", offsetof(struct run_config, merge_logs)},
	        {"shutdown-message", offsetof(struct run_config, shutdown_message)},
	        {"drain-message", offsetof(struct run_config, drain_message)},
	        {"no-restart", offsetof(struct run_config, restart), true},
	        {"in-place", offsetof(struct run_config, in_place)},
	        {"keep-going", offsetof(struct run_config, keep_going)},
	};
	struct run_config c;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const bool *flag = (const bool *)((const char *)&c + cases[i].at);

		run_config_init(&c);
		expect(&c, cases[i].name, NULL);
		assert_int_equal(*flag, !cases[i].negated);
		expect(&c, cases[i].name, "no");
		assert_int_equal(*flag, cases[i].negated);
		expect(&c, cases[i].name, "yes");
		assert_int_equal(*flag, !cases[i].negated);
	}
	expect(&c, "log-prefix", NULL);
	assert_int_equal(c.log, RUN_LOG_PREFIX);
	expect(&c, "log-prefix", "off");
	assert_int_equal(c.log, RUN_LOG_PLAIN);
}

static void readiness(void **state)
{
	static const struct {
		const char *value;
		enum ready_kind kind;
		const char *argument;
	} cases[] = {
	        {"http:/health?a:b", READY_HTTP, "/health?a:b"},
	        {"listen", READY_LISTEN},
	        {"exec:curl -f http://localhost/", READY_EXEC, "curl -f http://localhost/"},
	        {"notify", READY_NOTIFY},
	        {"message", READY_MESSAGE},
	        {"tcp", READY_TCP},
	        {"alive:3s", READY_ALIVE, "3s"},
	};
	struct run_config c;

	run_config_init(&c);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		expect(&c, "ready", cases[i].value);
		assert_int_equal(c.ready, cases[i].kind);
		if (cases[i].argument)
			assert_string_equal(c.ready_argument, cases[i].argument);
		else
			assert_null(c.ready_argument);
	}
	assert_int_equal(c.alive_after, 3 * NS_PER_S);
	run_config_free(&c);
}

static void listens(void **state)
{
	char text[ENDPOINT_TEXT_MAX];
	struct error err;
	struct run_config c;

	run_config_init(&c);
	expect(&c, "listen", "8080");
	expect(&c, "listen", "127.0.0.1:81");
	expect(&c, "listen", "[::1]:82");
	assert_int_equal(c.n_listens, 3);
	assert_int_equal(c.listens[0].family, 0);
	assert_int_equal(c.listens[0].port, 8080);
	assert_string_equal(endpoint_format(&c.listens[1], text, sizeof(text)), "127.0.0.1:81");
	assert_string_equal(endpoint_format(&c.listens[2], text, sizeof(text)), "[::1]:82");
	while (c.n_listens < RPD_ENDPOINT_MAX)
		expect(&c, "listen", "8080");
	assert_int_equal(run_option_set(&c, "listen", "8081", CPUS, &err), -EINVAL);
	assert_string_equal(err.text, "listen: a service has at most 128");
}

/* Refused: the message begins with the option's name, and nothing is changed. */
static void refused(void **state)
{
	static const struct {
		const char *name, *value, *said;
	} cases[] = {
	        {"service", "a.b", "service: 'a.b' is not a valid service name"},
	        {"label", "", "label: a version has 1 to 31"},
	        {"workers", "0", "workers: '0' is neither a number from 1 to 1024 nor 'max'"},
	        {"workers", "1025", "workers: '1025' is neither"},
	        {"workers", "any", "workers: 'any' is neither"},
	        {"workers", NULL, "workers: the value N|max is missing"},
	        {"listen", "0", "listen: '0' is neither a port"},
	        {"listen", "65536", "listen: '65536' is neither a port"},
	        {"listen", "::1:80", "listen: '::1:80' is neither a port"},
	        {"listen", "localhost:80", "listen: 'localhost:80' is neither a port"},
	        {"policy", "fair",
	         "policy: 'fair' is not round-robin, sticky or least-connections"},
	        {"env", "A", "env: 'A' is not NAME=VALUE"},
	        {"env", "=A", "env: '=A' is not NAME=VALUE"},
	        {"cwd", "", "cwd: the value is empty"},
	        {"env-file", "", "env-file: the value is empty"},
	        {"in-place", "maybe", "in-place: 'maybe' is neither yes nor no"},
	        {"no-restart", "", "no-restart: '' is neither yes nor no"},
	        {"log-prefix", "x", "log-prefix: 'x' is neither yes nor no"},
	        {"ready", "http", "ready: 'http' is not one of listen,"},
	        {"ready", "tcp:80", "ready: 'tcp:80' is not one of"},
	        {"ready", "", "ready: '' is not one of"},
	        {"ready", "lis", "ready: 'lis' is not one of"},
	        {"settle", "soon",
	         "settle: 'soon' is not a time such as 30s, 1500ms, 2m or 30 (seconds)"},
	        {"settle", "400d", "settle: '400d' is longer than a year"},
	        {"health-failures", "0", "health-failures: '0' is not a number from 1 to"},
	        {"batch", "-1", "batch: '-1' is not a number from 1 to 1000000"},
	        {"stop-signal", "SIGSTOPPED", "stop-signal: 'SIGSTOPPED' is not a signal"},
	        {"backoff", "1s", "backoff: '1s' is not a range of times such as 100ms..15s"},
	        {"backoff", "1s..", "backoff: '' is not a time"},
	        {"backoff", "..1s", "backoff: '' is not a time"},
	        {"cron-restart", "1 2", "cron-restart: '1 2' is not a cron expression"},
	        {"cron-restart", "0 0 31 2 *", "cron-restart: '0 0 31 2 *' never occurs"},
	        {"max-memory", "lots", "max-memory: 'lots' is not a size such as 300M or 2G"},
	        {"stop-exit-codes", "",
	         "stop-exit-codes: '' is not a list of exit statuses from 0 to 255"},
	        {"stop-exit-codes", "0,256", "stop-exit-codes: '0,256' is not a list"},
	        {"stop-exit-codes", "1,,2", "stop-exit-codes: '1,,2' is not a list"},
	        {"cpu-limit", "0.5", "cpu-limit: '0.5' is not a percentage of one CPU"},
	        {"cpu-limit", "0%", "cpu-limit: '0%' is not a percentage"},
	        {"wrokers", "4", "wrokers: there is no such option; did you mean 'workers'?"},
	        {"foo", "4", "foo: there is no such option"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct run_config c, untouched;
		struct error err = {};

		run_config_init(&c);
		memcpy(&untouched, &c, sizeof(c));
		assert_int_equal(run_option_set(&c, cases[i].name, cases[i].value, CPUS, &err),
		                 -EINVAL);
		assert_int_equal(err.status, EXIT_USAGE);
		if (strncmp(err.text, cases[i].said, strlen(cases[i].said)) != 0)
			fail_msg("%s, not %s", err.text, cases[i].said);
		assert_memory_equal(&c, &untouched, sizeof(c));
	}
}

/* Every row is complete, has a name of its own, and is found by it. */
static void table(void **state)
{
	const size_t n = option_count(run_options);

	for (size_t i = 0; i < n; i++) {
		assert_non_null(run_options[i].help);
		assert_non_null(run_options[i].set);
		assert_ptr_equal(option_find(run_options, run_options[i].name), &run_options[i]);
		if (run_options[i].set == option_set_number)
			assert_true(run_options[i].min < run_options[i].max);
	}
	assert_null(run_options[n].name);
	assert_null(option_find(run_options, "command"));
	assert_string_equal(option_nearest(run_options, "listn"), "listen");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(numbers_and_times),
	        cmocka_unit_test(texts),
	        cmocka_unit_test(flags),
	        cmocka_unit_test(readiness),
	        cmocka_unit_test(listens),
	        cmocka_unit_test(refused),
	        cmocka_unit_test(table),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
