/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/strv.h"
#include "bed/files.h"
#include "bed/seed.h"
#include "bed/unit.h"
#include "config/ini.h"
#include "config/run_option.h"
#include "core/env.h"

#define CPUS 6

static int load(const char *text, const char *only, struct load_result *loaded)
{
	const struct load_file file = {.path = "test.conf", .only = only, .n_cpus = CPUS};
	struct error err;

	*loaded = (struct load_result){.problems.file = "test.conf"};
	files_write(file.path, text);
	return ini_load(&file, loaded, &err);
}

/* Loads a valid file. */
static void expect(const char *text, const char *only, struct load_result *loaded)
{
	assert_int_equal(load(text, only, loaded), 0);
	if (loaded->problems.n)
		fail_msg("%u: %s", loaded->problems.list[0].line, loaded->problems.list[0].text);
}

static void sections(void **state)
{
	_cleanup_load_result_ struct load_result loaded;
	const struct run_config *web, *api;

	expect("; comment\n# another\n\n"
	       "[service web]\n"
	       "command = node 'my app.js' \"a;b\" c#d\n"
	       "workers = max\n"
	       "  listen=8080\n"
	       "listen : [::1]:81\n"
	       "env = A=b ; not a comment\n"
	       "env = B= x\n"
	       "in-place\n"
	       "keep-going = no\r\n"
	       "ready = http:/health\n"
	       "[ api ]\n"
	       "workers = 1\n"
	       "command = ./api",
	       NULL, &loaded);
	assert_int_equal(loaded.n, 2);
	web = &loaded.configs[0];
	api = &loaded.configs[1];
	assert_string_equal(web->service, "web");
	assert_int_equal(strv_length(web->argv), 4);
	assert_string_equal(web->argv[1], "my app.js");
	assert_string_equal(web->argv[2], "a;b");
	assert_string_equal(web->argv[3], "c#d");
	assert_int_equal(web->workers, CPUS);
	assert_int_equal(web->n_listens, 2);
	assert_string_equal(web->env[0], "A=b ; not a comment");
	assert_string_equal(web->env[1], "B= x");
	assert_true(web->in_place);
	assert_false(web->keep_going);
	assert_int_equal(web->ready, READY_HTTP);
	assert_string_equal(web->ready_argument, "/health");
	assert_string_equal(api->service, "api");
	assert_int_equal(api->workers, 1);
	assert_int_equal(api->n_listens, 0);
}

static void only_some_services(void **state)
{
	static const char text[] =
	        "[a]\ncommand=a\nworkers=1\n[b]\ncommand=b\nworkers=1\n"
	        "[c]\ncommand=c\nworkers=1\n";
	_cleanup_load_result_ struct load_result loaded;

	expect(text, "c,a", &loaded);
	assert_int_equal(loaded.n, 2);
	assert_string_equal(loaded.configs[0].service, "a");
	assert_string_equal(loaded.configs[1].service, "c");
}

/* Every option of the command line is a key, here with a valid value. */
static void every_option(void **state)
{
	static const struct {
		const char *argument, *value;
	} values[] = {
	        {"N|max", "2"},
	        {"PORT|ADDRESS:PORT", "80"},
	        {"POLICY", "sticky"},
	        {"VERSION", "v2"},
	        {"NAME=VALUE", "A=1"},
	        {"FILE", "test.env"},
	        {"NAME", "A"},
	        {"USER", "root"},
	        {"GROUP", "root"},
	        {"FOLDER", "/"},
	        {"HOW", "tcp"},
	        {"TIME", "2s"},
	        {"N", "2"},
	        {"SIGNAL", "USR1"},
	        {"MIN..MAX", "1s..2s"},
	        {"TIMES", "@daily"},
	        {"SIZE", "2M"},
	        {"PERCENT", "50%"},
	        {"N|PERCENT", "50%"},
	        {"ADDRESS:PORT", "127.0.0.1:9466"},
	        {"N,...", "0,143"},
	        {"all|mixed", "mixed"},
	        {"STRATEGY", "canary"},
	        {"SHARE TIME,...", "5% 2m, 50% pause"},
	        {"FACTOR", "2.5"},
	        {"TIME|for-ever", "for-ever"},
	        {"NETWORK", "10.0.0.0/8"},
	        {"ADDRESS", "unix:/run/web.sock"},
	        {"ADDRESS:PORT", "127.0.0.1:9466"},
	        {"N|PERCENT", "50%"},
	        {"exec:COMMAND", "exec:true"},
	};
	_cleanup_load_result_ struct load_result loaded;
	char text[8192] = "[web]\ncommand = x\n";

	files_write("test.env", "B=2\n");
	for (const struct option_row *option = run_options; option->name; option++) {
		size_t v = 0;

		/* The section is the service; no-restart conflicts with restart-delay, http with
		 * no-count. */
		if (!strcmp(option->name, "service") || !strcmp(option->name, "no-restart") ||
		    !strcmp(option->name, "http"))
			continue;
		while (option->argument && strcmp(values[v].argument, option->argument) != 0)
			if (++v == ARRAY_SIZE(values))
				fail_msg("no value for %s", option->argument);
		sprintf(text + strlen(text), "%s%s%s\n", option->name, option->argument ? "=" : "",
		        option->argument ? values[v].value : "");
	}
	expect(text, NULL, &loaded);
	assert_int_equal(loaded.configs[0].cpu_limit, 500);
	assert_string_equal(env_find(loaded.configs[0].env, "B"), "2");
}

static const struct {
	const char *text;
	struct {
		unsigned int line;
		const char *said;
	} problems[5];
} wrong_files[] = {
        {"", {{0, "the file has no service"}}},
        {"# nothing\n", {{0, "the file has no service"}}},
        {"workers = 1\n[a]\ncommand = a\nworkers = 1\n",
         {{1, "'workers' comes before the first section"}}},
        {"[a]\ncommand = x\nwrokers = 1\nworkers = 1\ncomand = y",
         {{3, "no option 'wrokers'; did you mean 'workers'?"},
          {5, "no option 'comand'; did you mean 'command'?"}}},
        {"[a]\ncommand = x\nworkers = 0\nsettle = soon\nin-place = maybe\nbatch\n",
         {{3, "workers: '0' is neither"},
          {4, "settle: 'soon' is not a time"},
          {5, "in-place: 'maybe' is neither"},
          {6, "batch: the value N is missing"}}},
        {"[a]\n[b]\nworkers = 1\ncommand = 'x\n",
         {{1, "a command is missing"},
          {1, "workers: the number of workers is missing"},
          {4, "a quote is not closed"}}},
        {"[a]\nworkers = 1\ncommand = a && b\n", {{3, "a shell operator needs a shell"}}},
        {"[a]\nworkers = 1\ncommand =\n", {{3, "command: the value is empty"}}},
        {"[a]\nworkers = 1\ncommand\n", {{3, "command: the value is empty"}}},
        {"[a]\ncommand = x\nworkers = 1\nworkers = 2\nlisten = 1\nlisten = 2\ncommand = "
         "y\n",
         {{4, "workers: line 3 sets it already"}, {7, "command: line 2 sets it already"}}},
        {"[a]\nservice = b\ncommand = x\nworkers = 1\n", {{2, "name the service in the head"}}},
        {"[a]\ncommand = x\nworkers = 1\n[a]\ncommand = x\nworkers = 1\n",
         {{4, "there are two services named 'a'"}}},
        {"[a\nnonsense = 1\n[b] x\n[]\n[x.y]\n",
         {{1, "such as [service web]"},
          {3, "such as [service web]"},
          {4, "'' is not a valid service name"},
          {5, "'x.y' is not a valid service name"}}},
        {"[servce b]\n[Service  web]\n[service: c]\n[servce x.y]\n[system b]\n",
         {{1, "there is no section 'servce b'; did you mean 'service b'?"},
          {2, "there is no section 'Service  web'; did you mean 'service web'?"},
          {3, "did you mean 'service c'?"},
          {4, "'servce x.y' is not a valid service name"},
          {5, "'system b' is not a valid service name"}}},
        {"[a]\ncommand = x\nworkers = 1\npass-sockets\nbackoff = 2..1\nhealth-interval=1\n",
         {{4, "pass-sockets: needs listen"}, {5, "backoff:"}, {6, "health-interval:"}}},
        {"[a]\ncommand = x\nworkers = 1\nenv-file = missing.env\n",
         {{4, "can't read 'missing.env': No such file"}}},
        {"[a]\ncommand = x\nworkers = 1\nenv = \"A=b\"\nenv = B = x\n",
         {{4, "'\"A=b\"' is not NAME=VALUE"}, {5, "'B = x' is not NAME=VALUE"}}},
        {"[a]\ncommand = x\nworkers = 1\nuser = no one\ngroup = nobodies\ncwd = /nope\n",
         {{4, "user: there is no user 'no one'"},
          {5, "group: there is no group 'nobodies'"},
          {6, "cwd: '/nope': No such file"}}},
        {"[a]\ncommand = x\nworkers = 1\ncwd = bad.env\nuser = 4000000000\n",
         {{4, "cwd: 'bad.env': Not a directory"}, {5, "give one with --group"}}},
        {"[a]\ncommand = x\nworkers = 1\nuser = 4000000000\ngroup = 0\nenv-file = "
         "missing.env\n",
         {{6, "can't read 'missing.env'"}}},
        {"[a]\ncommand = x\nworkers = 1\nenv-file = bad.env\n",
         {{4, "line 2 of 'bad.env' is not NAME=VALUE"}}},
};

/* A file and all of its problems, by line. */
static void problems(void **state)
{
	files_write("bad.env", "A=1\nB\n");
	for (size_t i = 0; i < ARRAY_SIZE(wrong_files); i++) {
		_cleanup_load_result_ struct load_result loaded;
		size_t n = 0;

		assert_int_equal(load(wrong_files[i].text, NULL, &loaded), 0);
		for (; n < 5 && wrong_files[i].problems[n].said; n++)
			if (n >= loaded.problems.n ||
			    loaded.problems.list[n].line != wrong_files[i].problems[n].line ||
			    !strstr(loaded.problems.list[n].text, wrong_files[i].problems[n].said))
				fail_msg("case %zu: not '%s' but '%s' on line %u", i,
				         wrong_files[i].problems[n].said,
				         n < loaded.problems.n ? loaded.problems.list[n].text : "",
				         n < loaded.problems.n ? loaded.problems.list[n].line : 0);
		if (loaded.problems.n != n || loaded.problems.n_errors != n)
			fail_msg("case %zu: %zu problems", i, loaded.problems.n);
	}
}

/* A missing program is a warning at the line of its command. It is searched in the environment and
 * the folder of the workers. In the folder are tool, plain (not executable) and sub/inner; PATH is
 * the folder. */
static void missing_programs(void **state)
{
	static const struct {
		const char *section;
		unsigned int line;
		const char *said; /* NULL: nothing */
	} cases[] = {
	        {"command = tool x", 0, NULL},
	        {"command = ./tool", 0, NULL},
	        {"command = inner\ncwd = sub\nenv = PATH=/none:", 0, NULL},
	        {"command = inner\nenv = PATH=sub", 0, NULL},
	        {"command = inner\nenv-file = path.env", 0, NULL},
	        {"command = ./inner\ncwd = sub", 0, NULL},
	        {"command = nosuch x", 3,
	         "command: can't start 'nosuch': no such program in PATH (/tmp/"},
	        {"cwd = /\ncommand = ./tool", 4,
	         "command: can't start './tool': there is no such file"},
	        {"env = PATH=/none\ncommand = tool", 4,
	         "command: can't start 'tool': no such program in PATH (/none)"},
	        {"command = /no/such", 3, "command: can't start '/no/such': there is no such file"},
	        {"command = plain", 3, "command: can't start 'plain': it isn't executable"},
	        {"command = sub", 3, "command: can't start 'sub': it isn't executable"},
	};
	_cleanup_load_result_ struct load_result other;

	assert_int_equal(mkdir("sub", 0755), 0);
	files_programs((const char *const[]){"tool", "sub/inner", NULL});
	files_write("plain", "");
	files_write("path.env", "PATH=sub\n");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_load_result_ struct load_result loaded;
		const struct problem *told;
		char text[256];

		sprintf(text, "[a]\nworkers = 1\n%s\n", cases[i].section);
		assert_int_equal(load(text, NULL, &loaded), 0);
		told = loaded.problems.list;
		if (loaded.problems.n != !!cases[i].said || loaded.problems.n_errors ||
		    (told && (told->line != cases[i].line || !strstr(told->text, cases[i].said) ||
		              strchr(told->text, '\n'))))
			fail_msg("%s: %zu problems, %s", cases[i].section, loaded.problems.n,
			         told ? told->text : "");
	}
	expect("[a]\nworkers=1\ncommand=nosuch\n[b]\nworkers=1\ncommand=tool\n", "b", &other);
}

static void missing_file(void **state)
{
	const struct load_file file = {.path = "missing", .n_cpus = CPUS};
	_cleanup_load_result_ struct load_result loaded = {};
	struct error err;

	assert_true(ini_load(&file, &loaded, &err) < 0);
	assert_int_equal(err.status, EXIT_USAGE);
	assert_non_null(strstr(err.text, "can't read 'missing': No such file"));
}

/* env takes precedence over files, and a later file over an earlier one. */
static void env_files(void **state)
{
	_cleanup_load_result_ struct load_result loaded;

	files_write("one.env", "A=1\nB=1\nC=1\n");
	files_write("two.env", "B=2\nC=2\n");
	expect("[a]\ncommand=x\nworkers=1\nenv = C=3\nenv-file=one.env\nenv-file=two.env\n", NULL,
	       &loaded);
	assert_int_equal(strv_length(loaded.configs[0].env), 3);
	assert_string_equal(env_find(loaded.configs[0].env, "A"), "1");
	assert_string_equal(env_find(loaded.configs[0].env, "B"), "2");
	assert_string_equal(env_find(loaded.configs[0].env, "C"), "3");
}

/* The files of one service, and those of all services, have a limit together. */
static void large_env_files(void **state)
{
	static const char section[] = "[s%d]\ncommand=x\nworkers=1\nenv-file=large.env\n%s";
	char text[4096], variable[(1 << 20) + 1];
	_cleanup_load_result_ struct load_result twice, most, too_many;
	size_t n = 0;

	memset(variable, 'v', sizeof(variable) - 1);
	memcpy(variable, "A=", 2);
	variable[sizeof(variable) - 1] = '\0';
	files_write("large.env", variable);
	files_write("small.env", "B=2\n");
	snprintf(text, sizeof(text), section, 0, "env-file=small.env\n");
	assert_int_equal(load(text, NULL, &twice), 0);
	assert_int_equal(twice.problems.n, 1);
	assert_int_equal(twice.problems.list[0].line, 5);
	assert_non_null(
	        strstr(twice.problems.list[0].text, "with the files before it, it has more"));
	for (int i = 0; i < 16; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, section, i, "");
	expect(text, NULL, &most);
	snprintf(text + n, sizeof(text) - n, section, 16, "");
	assert_int_equal(load(text, NULL, &too_many), 0);
	assert_int_equal(too_many.problems.n, 1);
	assert_non_null(strstr(too_many.problems.list[0].text, "files of all services have more"));
}

static void long_lines(void **state)
{
	const size_t n = 60000;
	_cleanup_free_ char *text = malloc(n + 8192);
	_cleanup_load_result_ struct load_result loaded, refused;
	size_t start;

	strcpy(text, "[a]\ncommand=x\nworkers=1\nenv=A=");
	start = strlen(text);
	memset(text + start, 'v', n);
	text[start + n] = '\0';
	expect(text, NULL, &loaded);
	assert_int_equal(strlen(env_find(loaded.configs[0].env, "A")), n);
	memset(text + start + n, 'v', 8000);
	strcpy(text + start + n + 8000, "\nbatch=0\n");
	assert_int_equal(load(text, NULL, &refused), 0);
	assert_int_equal(refused.problems.n, 2);
	assert_int_equal(refused.problems.list[0].line, 4);
	assert_non_null(strstr(refused.problems.list[0].text, "65536 bytes or more"));
	assert_int_equal(refused.problems.list[1].line, 5);
}

/* Whether one of the problems contains @text. */
static bool has_problem(const struct load_result *loaded, const char *text)
{
	for (size_t i = 0; i < loaded->problems.n; i++)
		if (strstr(loaded->problems.list[i].text, text))
			return true;
	return false;
}

/* @head, and then @line as often as it fits into 1 MB, with a number in place of '%'. The caller
 * frees it. */
static char *large_file(const char *head, const char *line)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	fputs(head, stream);
	for (int n = 0; ftell(stream) < 1 << 20; n++)
		for (const char *at = line; *at; at++)
			if (*at == '%')
				fprintf(stream, "%d", n);
			else
				fputc(*at, stream);
	fclose(stream);
	return text;
}

/* A large file takes neither quadratic time nor much memory. */
static void limits(void **state)
{
	static const struct {
		const char *head, *line, *problem;
		size_t n;
	} cases[] = {
	        {"", "[a%]\ncommand = sh\nworkers = 1\n", "more than 1024 services", 1},
	        {"[a]\nworkers = 1\ncommand = sh\n", "env = A%=\n", "env: more than 1000 times", 1},
	        {"[a]\nworkers = 1\ncommand = sh\n", "unknown% = 1\n", "further problems",
	         PROBLEMS_MAX + 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = large_file(cases[i].head, cases[i].line);
		_cleanup_load_result_ struct load_result loaded = {};
		const struct load_file file = {.path = "test.conf", .n_cpus = 1};

		ini_load_text(&file, text, strlen(text), &loaded);
		assert_true(loaded.n <= LOAD_SERVICES_MAX);
		assert_int_equal(loaded.problems.n, cases[i].n);
		assert_true(has_problem(&loaded, cases[i].problem));
	}
}

/* A value of any bytes is unchanged, except for blanks around it. */
static void values_are_unchanged(void **state)
{
	seed_start("values");
	for (int round = 0; round < 300; round++) {
		_cleanup_load_result_ struct load_result loaded;
		char value[40] = "", text[128];
		const unsigned int n = 1 + seed_next(sizeof(value) - 1);

		for (unsigned int i = 0; i < n; i++)
			do
				value[i] = (char)(1 + seed_next(255));
			while (value[i] == '\n' ||
			       ((i == 0 || i + 1 == n) && strchr(" \t\r\v\f", value[i])));
		snprintf(text, sizeof(text), "[a]\ncommand=x\nworkers=1\nout-file =%s%s\n",
		         seed_next(2) ? " " : "", value);
		expect(text, NULL, &loaded);
		assert_string_equal(loaded.configs[0].out_file, value);
	}
}

/* Random files give configurations or problems, and nothing else. */
static void random_files(void **state)
{
	static const char *const lines[] = {
	        "[service a]", "[b]",       "[",        "]",         "command = x 'y z'",
	        "workers=max", "listen=80", "in-place", "env = A=1", "env-file = test.env",
	        "settle: 5s",  "# x",       "=",        " ;",        "ready=exec:x",
	};

	seed_start("any file");
	for (int round = 0; round < 1000; round++) {
		_cleanup_load_result_ struct load_result loaded;
		char text[1024] = "";

		for (unsigned int i = seed_next(12); i > 0; i--)
			strcat(strcat(text, lines[seed_next(ARRAY_SIZE(lines))]), "\n");
		for (unsigned int i = *text ? seed_next(3) : 0; i > 0; i--)
			text[seed_next(strlen(text))] = "[]='\"\\\n\r x="[seed_next(11)];
		assert_int_equal(load(text, NULL, &loaded), 0);
		assert_true(loaded.n > 0 || loaded.problems.n_errors > 0);
		for (size_t c = 0; !loaded.problems.n_errors && c < loaded.n; c++) {
			struct error err;

			assert_int_equal(run_config_check(&loaded.configs[c], &err), 0);
		}
	}
}

static int setup(void **state)
{
	if (files_setup(state) != 0)
		return -1;
	files_programs((const char *const[]){"a", "b", "c", "x", "sh", "node", "api", NULL});
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(sections),
	        cmocka_unit_test(only_some_services),
	        cmocka_unit_test(every_option),
	        cmocka_unit_test(problems),
	        cmocka_unit_test(missing_file),
	        cmocka_unit_test(env_files),
	        cmocka_unit_test(large_env_files),
	        cmocka_unit_test(long_lines),
	        cmocka_unit_test(values_are_unchanged),
	        cmocka_unit_test(random_files),
	        cmocka_unit_test(missing_programs),
	        cmocka_unit_test(limits),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), setup, files_teardown);
}
