/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/strv.h"
#include "bed/unit.h"
#include "config/run_option.h"

static void set(struct run_config *config, const char *name, const char *value)
{
	struct error err;

	if (run_option_set(config, name, value, 2, &err) != 0)
		fail_msg("%s", err.text);
}

static void start(struct run_config *config)
{
	run_config_init(config);
	set(config, "workers", "2");
	assert_int_equal(strv_append(&config->argv, "/usr/bin/node"), 0);
}

static void defaults(void **state)
{
	struct error err;
	struct run_config c;

	start(&c);
	assert_int_equal(run_config_check(&c, &err), 0);
	assert_string_equal(c.label, "v1");
	assert_int_equal(c.ready, READY_LISTEN);
	assert_int_equal(c.ready_timeout, 30 * NS_PER_S);
	assert_int_equal(c.settle, NS_PER_S);
	assert_int_equal(c.health_interval, 0);
	assert_int_equal(c.health_timeout, 5 * NS_PER_S);
	assert_int_equal(c.health_failures, 3);
	assert_int_equal(c.stop_signal, SIGTERM);
	assert_int_equal(c.drain_signal, 0);
	assert_int_equal(c.drain_timeout, 30 * NS_PER_S);
	assert_int_equal(c.kill_timeout, 5 * NS_PER_S);
	assert_int_equal(c.park_timeout, 30 * NS_PER_S);
	assert_true(c.restart);
	assert_int_equal(c.backoff_min, NS_PER_S / 10);
	assert_int_equal(c.backoff_max, 15 * NS_PER_S);
	assert_int_equal(c.max_restarts, 16);
	assert_int_equal(c.min_uptime, NS_PER_S);
	assert_int_equal(c.batch, 2);
	assert_int_equal(c.max_former, 8);
	run_config_free(&c);
}

/* Up to three options that fit together, or the problem. */
static void combinations(void **state)
{
	static const struct {
		const char *options[3][2];
		const char *said; /* NULL: it fits */
	} cases[] = {
	        {{{"listen", "80"}, {"listen", "81"}}},
	        {{{"listen", "80"}, {"listen", "80"}}, "listen: an endpoint is given twice"},
	        {{{"pass-sockets"}, {"listen", "80"}}},
	        {{{"pass-sockets"}}, "pass-sockets: needs listen"},
	        {{{"web", "127.0.0.1:9465"}}},
	        {{{"web", "unix:/run/web.sock"}, {"web-admin"}}},
	        {{{"web", "[::1]:9465"}, {"web-admin"}}, "web: every user of this host"},
	        {{{"web", "0.0.0.0:9465"}}, "web: other hosts can reach"},
	        {{{"web", "0.0.0.0:9465"}, {"web-admin"}, {"web-token-file", "/etc/token"}}},
	        {{{"web-admin"}}, "web: is missing"},
	        {{{"web-host", "web.example"}}, "web: is missing"},
	        {{{"web-agent", "127.0.0.1:9466"}}, "web: is missing"},
	        {{{"web-min-live", "50%"}}},
	        {{{"ready", "http:/"}}},
	        {{{"ready", "http:health"}}, "ready: the path of http must begin with '/'"},
	        {{{"ready", "http:"}}, "ready: the path of http must begin with '/'"},
	        {{{"ready", "exec:"}}, "ready: exec needs a command"},
	        {{{"ready-timeout", "0"}}, "ready-timeout: must be"},
	        {{{"ready", "alive:3s"}}},
	        {{{"ready", "alive:3s"}, {"ready-timeout", "3s"}}, "ready-timeout: must be longer"},
	        {{{"ready", "alive:3s"}, {"listen", "80"}}, "ready: alive is for programs"},
	        {{{"ready", "tcp"}, {"health-interval", "1"}}},
	        {{{"ready", "exec:true"}, {"health-interval", "1"}}},
	        {{{"ready", "http:/"}, {"health-interval", "1"}}},
	        {{{"health-interval", "1"}}, "health-interval: needs ready=http:PATH"},
	        {{{"ready", "notify"}, {"health-interval", "1"}}, "health-interval: "},
	        {{{"health-timeout", "0"}}, "health-timeout: "},
	        {{{"stop-signal", "KILL"}}},
	        {{{"stop-signal", "STOP"}}, "stop-signal: this signal does not end a process"},
	        {{{"drain-signal", "USR1"}}},
	        {{{"drain-signal", "KILL"}}, "drain-signal: no program can handle this signal"},
	        {{{"merge-logs"}, {"error-file", "x"}}},
	        {{{"merge-logs"}, {"out-file", "x"}}},
	        {{{"merge-logs"}}, "merge-logs: needs out-file"},
	        {{{"backoff", "1s..1s"}}},
	        {{{"backoff", "2s..1s"}}, "backoff: "},
	        {{{"backoff", "0..1s"}}, "backoff: "},
	        {{{"no-restart"}}},
	        {{{"no-restart"}, {"restart-delay", "1"}}, "no-restart: "},
	        {{{"no-restart"}, {"cron-restart", "@daily"}}},
	        {{{"max-memory", "2M"}, {"memory-limit", "2M"}}},
	        {{{"max-memory", "3M"}, {"memory-limit", "2M"}}, "max-memory: must be at most"},
	        {{{"increment-var", "PORT"}, {"env", "PORT=3000"}}},
	        {{{"increment-var", "PORT"}}},
	        {{{"increment-var", "PORT"}, {"env", "PORT=x"}},
	         "increment-var: env must set this variable to a number"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = {};
		struct run_config c;
		int r;

		start(&c);
		for (size_t o = 0; o < 3 && cases[i].options[o][0]; o++)
			set(&c, cases[i].options[o][0], cases[i].options[o][1]);
		r = run_config_check(&c, &err);
		if (r != (cases[i].said ? -EINVAL : 0))
			fail_msg("case %zu: %d, %s", i, r, err.text);
		if (cases[i].said && !strstr(err.text, cases[i].said))
			fail_msg("case %zu: %s", i, err.text);
		run_config_free(&c);
	}
}

static void count(void *data, const char *option, const char *text)
{
	char *all = data;

	assert_non_null(text);
	strcat(strcat(all, option ? option : "-"), " ");
}

static void all_problems(void **state)
{
	char all[256] = "";
	struct error err;
	struct run_config c;

	run_config_init(&c);
	set(&c, "pass-sockets", NULL);
	set(&c, "backoff", "2..1");
	assert_int_equal(run_config_report_problems(&c, count, all), 4);
	assert_string_equal(all, "- workers pass-sockets backoff ");
	assert_int_equal(run_config_check(&c, &err), -EINVAL);
	assert_int_equal(err.status, EXIT_USAGE);
	assert_string_equal(err.text, "a command is missing");
}

static void names_of_kinds(void **state)
{
	struct run_config c;

	start(&c);
	run_config_set_default_name(&c);
	assert_string_equal(c.service, "node");
	run_config_set_default_name(&c);
	assert_string_equal(c.service, "node");
	c.service[0] = '\0';
	set(&c, "listen", "127.0.0.1:8080");
	run_config_set_default_name(&c);
	assert_string_equal(c.service, "node-8080");
	c.service[0] = '\0';
	set(&c, "listen", "8081");
	run_config_set_default_name(&c);
	assert_string_equal(c.service, "node");
	run_config_free(&c);
}

/* The copy has its own strings; the sanitizer sees one that is shared or not freed. */
static void copy_of_a_configuration(void **state)
{
	static const char *const values[][2] = {
	        {"cwd", "/srv"},        {"user", "me"},
	        {"group", "us"},        {"out-file", "o"},
	        {"error-file", "e"},    {"ready", "http:/"},
	        {"env", "A=1"},         {"env-file", "f"},
	        {"increment-var", "A"}, {"increment-var", "B"},
	        {"instance-var", "I"},  {"log-file", "l"},
	        {"settle", "5s"},       {"cron-restart", "@daily"},
	};
	struct run_config c, copy;

	start(&c);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		set(&c, values[i][0], values[i][1]);
	assert_int_equal(run_config_copy(&c, &copy), 0);
	run_config_free(&c);
	assert_null(c.argv);
	assert_string_equal(copy.argv[0], "/usr/bin/node");
	assert_null(copy.argv[1]);
	assert_string_equal(copy.cwd, "/srv");
	assert_string_equal(copy.user, "me");
	assert_string_equal(copy.group, "us");
	assert_string_equal(copy.out_file, "o");
	assert_string_equal(copy.error_file, "e");
	assert_string_equal(copy.ready_argument, "/");
	assert_string_equal(copy.env[0], "A=1");
	assert_string_equal(copy.env_files[0], "f");
	assert_string_equal(copy.increment_vars[0], "A");
	assert_string_equal(copy.increment_vars[1], "B");
	assert_null(copy.increment_vars[2]);
	assert_string_equal(copy.instance_var, "I");
	assert_string_equal(copy.log_file, "l");
	assert_string_equal(copy.cron_restart, "@daily");
	assert_int_equal(copy.settle, 5 * NS_PER_S);
	run_config_free(&copy);
}

/* What run_config_write() has written, cut to @n bytes, is read again. Returns run_config_read().
 */
static int write_and_read(const struct run_config *c, size_t n, struct run_config *ret)
{
	_cleanup_free_ char *bytes = NULL;
	_cleanup_file_ FILE *out = NULL, *in = NULL;
	size_t size;

	out = open_memstream(&bytes, &size);
	assert_non_null(out);
	run_config_write(c, out);
	assert_int_equal(fflush(out), 0);
	in = fmemopen(bytes, n < size ? n : size, "r");
	assert_non_null(in);
	return run_config_read(in, ret);
}

static void to_another_process(void **state)
{
	struct run_config c, copy = {};

	start(&c);
	set(&c, "env", "A=1");
	set(&c, "env", "B=");
	set(&c, "user", "www-data");
	set(&c, "listen", "80");
	assert_int_equal(write_and_read(&c, SIZE_MAX, &copy), 0);
	assert_string_equal(copy.argv[0], "/usr/bin/node");
	assert_null(copy.argv[1]);
	assert_int_equal(strv_length(copy.env), 2);
	assert_string_equal(copy.env[1], "B=");
	assert_string_equal(copy.user, "www-data");
	assert_null(copy.group);
	assert_null(copy.env_files);
	assert_int_equal(copy.listens[0].port, 80);
	run_config_free(&copy);
	for (size_t n = 1; n < sizeof(c) + 64; n += 8) /* it ends too early */
		assert_true(write_and_read(&c, n, &copy) < 0);
	assert_null(copy.argv);
	run_config_free(&c);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(defaults),
	        cmocka_unit_test(combinations),
	        cmocka_unit_test(all_problems),
	        cmocka_unit_test(names_of_kinds),
	        cmocka_unit_test(copy_of_a_configuration),
	        cmocka_unit_test(to_another_process),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
