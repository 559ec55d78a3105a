/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/strv.h"
#include "bed/files.h"
#include "bed/unit.h"
#include "config/pm2_bed.h"
#include "core/env.h"

#define MS 1000000ll

static void defaults(void **state)
{
	_cleanup_load_result_ struct load_result loaded;
	const struct run_config *c = pm2_bed_expect("", &loaded);

	assert_string_equal(c->service, "web");
	assert_int_equal(c->workers, 1);
	assert_int_equal(c->stop_signal, SIGINT);
	assert_int_equal(c->kill_timeout, 1600 * MS);
	assert_int_equal(c->ready, READY_ALIVE);
	assert_int_equal(c->alive_after, 3 * NS_PER_S);
	assert_int_equal(c->ready_timeout, 30 * NS_PER_S);
	assert_int_equal(c->max_restarts, 16);
	assert_int_equal(c->min_uptime, NS_PER_S);
	assert_true(c->restart);
	assert_string_equal(c->cwd, files_folder);
	pm2_bed_expect_argv(
	        c, (const char *[]){"node", PM2_BED_REJECTIONS, pm2_bed_here("app.js"), NULL});
}

static void all_options(void **state)
{
	_cleanup_load_result_ struct load_result loaded;
	const struct run_config *c = pm2_bed_expect_problem(
	        ",\"exec_mode\": \"cluster\", \"instances\": \"max\", \"wait_ready\": true,"
	        "\"listen_timeout\": 50000, \"kill_timeout\": 5000, \"min_uptime\": \"10s\","
	        "\"max_memory_restart\": \"300M\", \"max_restarts\": 5,"
	        "\"exp_backoff_restart_delay\": 100, \"restart_delay\": 200,"
	        "\"cron_restart\": \"0 4 * * *\", \"shutdown_with_message\": true,"
	        "\"out_file\": \"logs/out.log\", \"error_file\": \"/tmp/err.log\","
	        "\"merge_logs\": true, \"uid\": \"www-data\", \"gid\": 33,"
	        "\"increment_var\": \"PORT\", \"env\": {\"PORT\": 3000},"
	        "\"watch\": false, \"ignore_watch\": [], \"autorestart\": true,"
	        "\"treekill\": true, \"env_production\": {\"A\": 1}, \"vizion\": false",
	        "uid: the workers do not have the environment of reuseportd", false, &loaded);

	assert_int_equal(c->workers, PM2_BED_CPUS);
	assert_int_equal(c->ready, READY_MESSAGE);
	assert_int_equal(c->alive_after, 50 * NS_PER_S);
	assert_int_equal(c->ready_timeout, 51 * NS_PER_S);
	assert_int_equal(c->kill_timeout, 5 * NS_PER_S);
	assert_int_equal(c->min_uptime, 10 * NS_PER_S);
	assert_int_equal(c->max_memory, 300 << 20);
	assert_int_equal(c->max_restarts, 5);
	assert_int_equal(c->backoff_min, 100 * MS);
	assert_int_equal(c->backoff_max, 15 * NS_PER_S);
	assert_int_equal(c->restart_delay, 0); /* the other delay takes precedence */
	assert_int_equal(c->in_place, RUN_IN_PLACE_NO);
	assert_string_equal(c->cron_restart, "0 4 * * *");
	assert_true(c->shutdown_message);
	assert_string_equal(c->out_file, pm2_bed_here("logs/out.log"));
	assert_string_equal(c->error_file, "/tmp/err.log");
	assert_true(c->merge_logs);
	assert_string_equal(c->user, "www-data");
	assert_string_equal(c->group, "33");
	assert_string_equal(c->increment_vars[0], "PORT");
	assert_string_equal(env_find(c->env, "PORT"), "3000");
	assert_null(env_find(c->env, "A"));
}

static void instances(void **state)
{
	static const struct {
		const char *value;
		unsigned int workers;
	} cases[] = {{"0", PM2_BED_CPUS},
	             {"\"max\"", PM2_BED_CPUS},
	             {"-1", PM2_BED_CPUS - 1},
	             {"-20", 1},
	             {"4", 4},
	             {"\"3\"", 3},
	             {"2.5", 2},
	             {"\"2.5\"", 2},
	             {"0.5", PM2_BED_CPUS},
	             {"\"0\"", PM2_BED_CPUS},
	             {"\"-2\"", PM2_BED_CPUS - 2}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_load_result_ struct load_result loaded;
		char members[64];

		snprintf(members, sizeof(members), ", \"instances\": %s", cases[i].value);
		assert_int_equal(pm2_bed_expect(members, &loaded)->workers, cases[i].workers);
	}
}

static void single_options(void **state)
{
	_cleanup_load_result_ struct load_result a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, q;

	assert_int_equal(pm2_bed_expect(", \"kill_timeout\": 0", &o)->kill_timeout, 1600 * MS);
	assert_int_equal(pm2_bed_expect(", \"wait_ready\": true", &q)->alive_after, 3 * NS_PER_S);
	assert_int_equal(pm2_bed_expect(", \"wait_ready\": true", &a)->ready_timeout,
	                 30 * NS_PER_S);
	assert_int_equal(pm2_bed_expect(", \"listen_timeout\": 700", &b)->alive_after, 700 * MS);
	assert_int_equal(b.configs[0].ready_timeout, 30 * NS_PER_S);
	assert_int_equal(pm2_bed_expect(", \"listen_timeout\": 0", &j)->alive_after, 3 * NS_PER_S);
	assert_int_equal(pm2_bed_expect(", \"listen_timeout\": 40000", &k)->alive_after,
	                 40 * NS_PER_S);
	assert_int_equal(k.configs[0].ready_timeout, 41 * NS_PER_S);
	assert_false(pm2_bed_expect(", \"autorestart\": false", &c)->restart);
	assert_int_equal(pm2_bed_expect(", \"max_memory_restart\": 1000", &d)->max_memory, 1000);
	assert_string_equal(pm2_bed_expect(", \"log_file\": \"all.log\"", &e)->out_file,
	                    pm2_bed_here("all.log"));
	assert_string_equal(e.configs[0].error_file, pm2_bed_here("all.log"));
	assert_string_equal(pm2_bed_expect(", \"disable_logs\": true", &f)->out_file, "/dev/null");
	assert_string_equal(pm2_bed_expect(", \"output\": \"NULL\"", &g)->out_file, "/dev/null");
	assert_null(pm2_bed_expect(", \"cron_restart\": 0", &h)->cron_restart);
	assert_string_equal(
	        pm2_bed_expect(", \"cron_restart\": \" 0  5 4 * * *\"", &l)->cron_restart,
	        "5 4 * * *");
	assert_int_equal(pm2_bed_expect(", \"max_restarts\": 0", &m)->max_restarts, 1);
	assert_int_equal(pm2_bed_expect(", \"max_restarts\": \"1\"", &n)->max_restarts, 1);
	assert_string_equal(pm2_bed_expect(", \"instance_var\": \"ID\"", &i)->instance_var, "ID");
}

static void environment(void **state)
{
	static const char text[] =
	        "{\"apps\": {\"name\": \"web\", \"script\": \"app.js\", \"port\": 80,"
	        "\"env\": {\"A\": 1, \"B\": true, \"C\": {\"x\": [1, \"/\"]}, \"D\": null, "
	        "\"E\": \"e\"}, \"env_prod\": {\"A\": 2, \"F\": \"f\"}}}";
	_cleanup_load_result_ struct load_result plain, prod, deploy, other;
	char **env;

	pm2_bed_load(text, NULL, NULL, &plain);
	assert_int_equal(plain.problems.n, 0);
	env = plain.configs[0].env;
	assert_string_equal(env_find(env, "A"), "1");
	assert_string_equal(env_find(env, "B"), "true");
	assert_string_equal(env_find(env, "C"), "{\"x\":[1,\"/\"]}");
	assert_string_equal(env_find(env, "D"), "null");
	assert_string_equal(env_find(env, "E"), "e");
	assert_string_equal(env_find(env, "PORT"), "80");
	assert_null(env_find(env, "F"));

	pm2_bed_load(text, NULL, "prod", &prod);
	assert_int_equal(prod.problems.n, 0);
	assert_string_equal(env_find(prod.configs[0].env, "A"), "2");
	assert_string_equal(env_find(prod.configs[0].env, "F"), "f");
	assert_string_equal(env_find(prod.configs[0].env, "E"), "e");

	pm2_bed_load(
	        "{\"deploy\": {\"prod\": {\"env\": {\"A\": 1, \"B\": 2, \"C\": 3}}},"
	        "\"apps\": {\"name\": \"web\", \"script\": \"app.js\","
	        "\"env\": {\"B\": 4}, \"env_prod\": {\"C\": 5}}}",
	        NULL, "prod", &deploy);
	assert_string_equal(env_find(deploy.configs[0].env, "A"), "1");
	assert_string_equal(env_find(deploy.configs[0].env, "B"), "2");
	assert_string_equal(env_find(deploy.configs[0].env, "C"), "5");

	pm2_bed_load(text, NULL, "other", &other);
	assert_int_equal(other.problems.n, 1);
	assert_int_equal(other.problems.n_errors, 0);
	assert_string_equal(
	        other.problems.list[0].text,
	        "app 'web': env_other: the app has no such environment; only env is used");
}

/* Options that are reported and left out, or refused. */
static void reported_options(void **state)
{
	static const struct {
		const char *members, *said;
		bool error;
	} cases[] = {
	        {"\"watch\": true", "watch: ignored: files are not watched"},
	        {"\"ignore_watch\": [\"x\"]", "ignore_watch: ignored"},
	        {"\"namespace\": \"x\"", "namespace: services have no namespaces"},
	        {"\"namespace\": \"default\", \"time\": 1", "time: ignored"},
	        {"\"stop_exit_codes\": [0, \"x\"]", "stop_exit_codes: '0,x' is not a list", true},
	        {"\"stop_exit_codes\": {}", "stop_exit_codes: '?' is not a list", true},
	        {"\"treekill\": false", "treekill: ignored"},
	        {"\"filter_env\": [\"A\"]", "filter_env: ignored"},
	        {"\"time\": true", "time: ignored"},
	        {"\"max_memory_restrat\": 1",
	         "max_memory_restrat: ignored: there is no such option; did you mean "
	         "'max_memory_restart'?"},
	        {"\"nonsense\": 0", "nonsense: ignored: there is no such option"},
	        {"\"log_file\": true, \"out_file\": \"b\"", "log_file: ignored"},
	        {"\"drain_timeot\": 1", "did you mean 'drain_timeout'?"},
	        {"\"autorestart\": false, \"restart_delay\": 5", "restart_delay: ignored"},
	        {"\"interpreter\": \"none\", \"node_args\": [\"--x\"]", "node_args: ignored"},
	        {"\"script\": \"node app.js\", \"args\": [\"-x\"]",
	         "args: ignored: `script` contains a space"},
	        {"\"script\": \"node app.js\", \"node_args\": \"-x\"", "node_args: ignored"},
	        {"\"script\": \"node app.js\", \"interpreter\": \"bun\"", "interpreter: ignored"},
	        {"\"out_file\": \"a\", \"output\": \"b\"", "out_file: ignored: output sets"},
	        {"\"uid\": 0, \"user\": \"root\"", "uid: ignored: user sets"},
	        {"\"interpreter\": \"/opt/nosuchnode\"",
	         "can't start '/opt/nosuchnode': there is no such file"},
	        {"\"env\": {\"PATH\": \"/none\"}",
	         "can't start 'node': no such program in PATH (/none)"},
	        {"\"interpreter\": \"node@18\"",
	         "nvm is not supported: the node in PATH is used instead of node@18"},
	        {"\"instances\": \"many\"", "instances: 'many' is neither a number from 1 to",
	         true},
	        {"\"instances\": 1e5", "instances: '100000' is neither a number from", true},
	        {"\"exec_mode\": \"x\"", "exec_mode: the value is neither", true},
	        {"\"kill_timeout\": \"soon\"", "kill_timeout: 'soon' is not a time", true},
	        {"\"kill_timeout\": -5", "kill_timeout: '-5ms' is not a time", true},
	        {"\"kill_timeout\": [1]", "kill_timeout: the value is neither text", true},
	        {"\"max_memory_restart\": \"x\"", "max_memory_restart: 'x' is not a size", true},
	        {"\"cron_restart\": \"*/10 5 4 * * *\"",
	         "cron_restart: seconds are not supported: '5 4 * * *'"},
	        {"\"cron_restart\": \"0 60 4 * * *\"", "cron_restart: '60' is not a valid minute",
	         true},
	        {"\"cron_restart\": \"1 2 3 4 5 6 7\"",
	         "cron_restart: '1 2 3 4 5 6 7' is not a cron", true},
	        {"\"max_restarts\": -1", "max_restarts: '-1' is not a number from 1 to", true},
	        {"\"cron_restart\": \"x\"", "cron_restart: 'x' is not a cron", true},
	        {"\"exp_backoff_restart_delay\": \"x\"", "the value is not a number of milli",
	         true},
	        {"\"env\": 3", "env: the value is not an object", true},
	        {"\"env\": {\"A=\": 3}", "env: 'A=' is not a name for a variable", true},
	        {"\"args\": {}", "args: the value is neither text nor an array", true},
	        {"\"max-restarts\": 1", "there is no such option; did you mean 'max_restarts'?"},
	        {"\"drain-timeout\": 1", "did you mean 'drain_timeout'?"},
	        {"\"args\": [[1]]", "args: an element of the array is not text", true},
	        {"\"cwd\": \"nowhere\"", "cwd: there is no folder 'nowhere'", true},
	        {"\"uid\": \"nosuch\"", "user: there is no user 'nosuch'", true},
	        {"\"group\": \"nosuch\"", "group: there is no group 'nosuch'", true},
	        {"\"script\": \"no.js\"", "script: there is no 'no.js'", true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_load_result_ struct load_result loaded;
		char text[512];

		snprintf(text, sizeof(text), "[{\"name\": \"x\", \"script\": \"app.js\", %s}]",
		         cases[i].members);
		pm2_bed_load(text, NULL, NULL, &loaded);
		if (loaded.problems.n != 1 || loaded.problems.n_errors != cases[i].error ||
		    !strstr(loaded.problems.list[0].text, cases[i].said) ||
		    strncmp(loaded.problems.list[0].text, "app 'x': ", 9) != 0)
			fail_msg("%s: %zu problems, %s", cases[i].members, loaded.problems.n,
			         loaded.problems.n ? loaded.problems.list[0].text : "");
	}
}

static void env_files(void **state)
{
	_cleanup_load_result_ struct load_result none, hash;

	files_write("hash.env", "A='x#y' # comment\nB=x # y\n# comment\nC=z#");
	pm2_bed_expect_problem(", \"env_file\": \"no.env\"", "no.env'", true, &none);
	pm2_bed_expect_problem(", \"env_file\": \"hash.env\"", "line 2 of '", false, &hash);
	assert_string_equal(env_find(hash.configs[0].env, "B"), "x # y");
}

static void selection_of_apps(void **state)
{
	static const char text[] =
	        "{\"deploy\": {\"x\": 1}, \"other\": 1, \"apps\": ["
	        "{\"name\": \"my app\", \"script\": \"app.js\"},"
	        "{\"name\": \"off\", \"script\": \"app.js\", \"autostart\": false},"
	        "{\"script\": \"./app.js\"}]}";
	static const char *const said[] = {
	        "'deploy' is for `pm2 deploy` and is ignored, except its variables for --env",
	        "'other' is unknown and is ignored",
	        "app 'my app': name: the service is named 'my-app'; commands know both names",
	        "app 'off': autostart: the app is ignored; `--only off` runs it",
	};
	_cleanup_load_result_ struct load_result all, one, none;

	pm2_bed_load(text, NULL, NULL, &all);
	assert_int_equal(all.n, 2);
	assert_string_equal(all.configs[0].service, "my-app");
	assert_string_equal(all.configs[1].service, "app");
	assert_int_equal(all.problems.n, ARRAY_SIZE(said));
	for (size_t i = 0; i < ARRAY_SIZE(said); i++)
		assert_string_equal(all.problems.list[i].text, said[i]);
	pm2_bed_load(text, "off,app", NULL, &one);
	assert_int_equal(one.n, 2);
	assert_string_equal(one.configs[0].service, "off");
	pm2_bed_load(text, "ap", NULL, &none);
	assert_int_equal(none.n, 0);
}

/* Files that cannot be read as a configuration, with the line. */
static void wrong_files(void **state)
{
	static const struct {
		const char *path, *text;
		unsigned int line;
		const char *said;
	} cases[] = {
	        {"a.json", "{\"apps\":\n [}", 2, "SyntaxError: Unexpected token '}'"},
	        {"a.json", "", 2, "SyntaxError: Unexpected token ')'"},
	        {"a.json", "[]", 0, "the file has no apps"},
	        {"a.json", "{\"apps\": 3}", 0, "the file has no apps"},
	        {"a.json", "null", 0, "the file has no apps"},
	        {"a.json", "[3]", 0, "an app is not an object"},
	        {"a.json",
	         "[{\"script\": \"app.js\", \"service\": \"a\"},"
	         " {\"script\": \"app.js\", \"service\": \"a\"}]",
	         0, "there are two services named 'a'"},
	        {"a.json", "[{\"name\": \"a\"}]", 0, "app 'a': script: the script is missing"},
	        {"a.js", "\nmodule.exports = {\n", 3, "SyntaxError"},
	        {"a.cjs", "\n\nthrow new Error('my own');", 3, "Error: my own"},
	        {"a.js", "module.exports = {apps: [{script: () => 1}]}", 0, "script is a function"},
	        {"a.js", "process.exit(0)", 0, "it exited early"},
	        {"a.js", "process.exit(3)", 0, "it exited early"},
	        {"a.js", "module.exports = []", 0, "the file has no apps"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_load_result_ struct load_result loaded;
		struct error err = {};

		files_write(cases[i].path, cases[i].text);
		if (pm2_bed_load_file((struct load_file){.path = cases[i].path}, &loaded, &err) !=
		    0)
			fail_msg("%s: %s", cases[i].text, err.text);
		if (loaded.problems.n_errors != 1 ||
		    loaded.problems.list[0].line != cases[i].line ||
		    !strstr(loaded.problems.list[0].text, cases[i].said))
			fail_msg("%s: %zu problems, %u: %s", cases[i].text, loaded.problems.n,
			         loaded.problems.n ? loaded.problems.list[0].line : 0,
			         loaded.problems.n ? loaded.problems.list[0].text : "");
	}
}

static void javascript(void **state)
{
	static const struct {
		const char *path, *text;
		size_t n_warnings; /* what it prints is one */
	} cases[] = {
	        {"a.config.js",
	         "console.log('x'.repeat(100));\n"
	         "module.exports = {apps: [{name: 'a', script: 'app.js',\n"
	         "  instances: require('path').sep === '/' ? 2 : 3,\n"
	         "  env: {BIG: 'y'.repeat(200000)}}]};",
	         1},
	        {"a.cjs",
	         "setInterval(() => {}, 1000);\n"
	         "exports.apps = {name: 'a', script: 'app.js', instances: 2,\n"
	         "  env: {BIG: 'y'.repeat(200000)}};"},
	        {"a.mjs",
	         "export default {apps: [{name: 'a', script: 'app.js', instances: 2,\n"
	         "  env: {BIG: 'y'.repeat(200000)}}]};"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_load_result_ struct load_result loaded;
		struct error err = {};

		files_write(cases[i].path, cases[i].text);
		if (pm2_bed_load_file((struct load_file){.path = cases[i].path}, &loaded, &err) !=
		    0)
			fail_msg("%s", err.text);
		assert_int_equal(loaded.problems.n, cases[i].n_warnings);
		if (loaded.problems.n &&
		    (!loaded.problems.list[0].warning ||
		     !strstr(loaded.problems.list[0].text, "the file prints: xxxx")))
			fail_msg("%s", loaded.problems.list[0].text);
		assert_int_equal(loaded.configs[0].workers, 2);
		assert_int_equal(strlen(env_find(loaded.configs[0].env, "BIG")), 200000);
	}
}

/* Numbers are written as JavaScript writes them. The file may be the app itself. */
static void numbers(void **state)
{
	_cleanup_load_result_ struct load_result loaded;
	char **env;

	pm2_bed_load(
	        "{\"name\": \"web\", \"script\": \"app.js\", \"env\": {\"A\": 1.0,"
	        "\"B\": 1.10, \"C\": 12345678901234567890, \"D\": [1e3]}}",
	        NULL, NULL, &loaded);
	if (loaded.problems.n)
		fail_msg("%s", loaded.problems.list[0].text);
	env = loaded.configs[0].env;
	assert_string_equal(env_find(env, "A"), "1");
	assert_string_equal(env_find(env, "B"), "1.1");
	assert_string_equal(env_find(env, "C"), "12345678901234567000");
	assert_string_equal(env_find(env, "D"), "[1000]");
}

/* A variable that the environment has, and that the file takes away, is named; and a function. */
static void lost_values(void **state)
{
	_cleanup_load_result_ struct load_result loaded;
	struct error err = {};

	files_write("removed.config.js",
	            "delete process.env.LOST; module.exports = {apps: [{name: 'web',\n"
	            "script: 'app.js', env: {EMPTY: undefined, OTHER: undefined, MADE: () => 1},\n"
	            "watch: false, watch_options: {ignored: () => true}}]}");
	setenv("LOST", "1", 1);
	setenv("EMPTY", "1", 1);
	assert_int_equal(
	        pm2_bed_load_file((struct load_file){.path = "removed.config.js"}, &loaded, &err),
	        0);
	assert_int_equal(loaded.problems.n, 2);
	assert_non_null(strstr(loaded.problems.list[0].text, "LOST, EMPTY: the file deletes"));
	assert_non_null(strstr(loaded.problems.list[1].text, "MADE, ignored: ignored: it is a f"));
}

/* PM2 evaluates a JSON file as JavaScript. */
static void lenient_json(void **state)
{
	static const struct {
		const char *path, *text;
	} cases[] = {
	        {"a.json", "\xef\xbb\xbf{\"apps\": [{\"name\": \"a\", \"script\": \"app.js\"}]}"},
	        {"a.json5",
	         "\xef\xbb\xbf// comment\n{apps: [{name: 'a', /* b */ script: 'app.js',},],}"},
	        {"eco.config.json",
	         "{\"apps\": [{\"name\": \"a\", \"script\": \"app.js\"}]} // comment"},
	        {"a.json", "{\"pm2\": {\"name\": \"a\", \"script\": \"app.js\"}}"},
	        {"a.json", "[{\"name\": \"a\", \"script\": \"app.js\"}]"},
	        {"a.json", "{\"name\": \"a\", \"script\": \"app.js\"}"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_load_result_ struct load_result loaded;
		struct error err;

		files_write(cases[i].path, cases[i].text);
		if (pm2_bed_load_file((struct load_file){.path = cases[i].path}, &loaded, &err) !=
		    0)
			fail_msg("%s", err.text);
		if (loaded.problems.n)
			fail_msg("%s: %s", cases[i].text, loaded.problems.list[0].text);
		assert_string_equal(loaded.configs[0].service, "a");
	}
}

static void without_node(void **state)
{
	_cleanup_load_result_ struct load_result loaded, json;
	struct error err = {};

	files_write("a.js", "module.exports = {}");
	setenv("PATH", files_folder, 1);
	assert_int_equal(pm2_bed_load_file((struct load_file){.path = "a.js"}, &loaded, &err),
	                 -ENOENT);
	setenv("PATH", "/usr/bin:/bin", 1);
	assert_int_equal(err.status, EXIT_REFUSED);
	assert_non_null(strstr(err.text, "can't read 'a.js': node is not installed"));
	files_write("a.json", "{apps: 1}");
	setenv("PATH", files_folder, 1);
	assert_int_equal(pm2_bed_load_file((struct load_file){.path = "a.json"}, &json, &err), 0);
	setenv("PATH", "/usr/bin:/bin", 1);
	assert_int_equal(json.problems.n, 2);
	assert_non_null(strstr(json.problems.list[0].text, "only plain JSON can be read"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(defaults),          cmocka_unit_test(all_options),
	        cmocka_unit_test(instances),         cmocka_unit_test(single_options),
	        cmocka_unit_test(environment),       cmocka_unit_test(reported_options),
	        cmocka_unit_test(selection_of_apps), cmocka_unit_test(wrong_files),
	        cmocka_unit_test(javascript),        cmocka_unit_test(lenient_json),
	        cmocka_unit_test(without_node),      cmocka_unit_test(numbers),
	        cmocka_unit_test(lost_values),       cmocka_unit_test(env_files),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), pm2_bed_setup, files_teardown);
}
