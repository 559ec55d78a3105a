/* SPDX-License-Identifier: BSD-2-Clause */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bed/unit.h"
#include "view/deployment_view.h"

#define STEPS                                                                                      \
	"\"steps\": [{\"share\": 5.0, \"workers\": 1, \"seconds\": 120},"                          \
	" {\"share\": 12.5, \"workers\": 1, \"seconds\": null},"                                   \
	" {\"share\": 100.0, \"workers\": 8, \"seconds\": 0}]"
#define SIGNALS                                                                                    \
	"\"signals\": [{\"name\": \"resets\", \"new\": {\"n\": 480, \"bad\": 12},"                 \
	" \"old\": {\"n\": 9100, \"bad\": 9}, \"evidence\": 2310.4, \"threshold\": 1000.0,"        \
	" \"verdict\": \"bad\"}]"

/* A deployment with these members, which come first. The others are those of a first step. */
static struct json_object *deployment(const char *members)
{
	char text[2048];
	struct json_object *d;

	snprintf(text, sizeof(text),
	         "{%s%s \"id\": 1, \"service\": \"web\", \"strategy\": \"canary\", \"old\": \"v1\","
	         " \"new\": \"v2\", \"step\": 1, \"share\": 5.0, \"workers\": 1, \"of\": 8, " STEPS
	         ", " SIGNALS "}",
	         members, *members ? "," : "");
	d = json_tokener_parse(text);
	assert_non_null(d);
	return d;
}

/* What @print prints, for free(). Releases @d. */
static char *printed(void (*print)(FILE *, struct json_object *), struct json_object *d)
{
	char *text;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	print(out, d);
	fclose(out);
	json_object_put(d);
	return text;
}

static void expect(void (*print)(FILE *, struct json_object *), struct json_object *d,
                   const char *wanted)
{
	_cleanup_free_ char *text = printed(print, d);

	assert_string_equal(text, wanted);
}

static void whole(void **state)
{
	expect(deployment_view_print,
	       deployment("\"phase\": \"paused\", \"reason\": \"asked by a person\""),
	       "web: canary from v1 to v2: step 1 of 3, waits for `promote` or `abort`\n"
	       "  share [##                                      ] 5.0 % (1 of 8 workers)\n"
	       "  steps [5% 2m], 12.5% pause, 100%\n"
	       "  why   asked by a person\n"
	       "\n"
	       "SIGNAL  NEW        OLD        EVIDENCE  BAD FROM  VERDICT\n"
	       "resets  12 of 480  9 of 9100      2310      1000  bad\n");
}

/* Rows of more than 80 columns go on below their text, as do the lines that a worker has printed.
 */
static void long_rows(void **state)
{
	expect(deployment_view_print,
	       deployment(
	               "\"phase\": \"progressing\", \"gate\": \"step that comes into force next\","
	               " \"reason\": \"slot 0: the new worker (pid 4711) ended (exit status 1);"
	               " its last lines were:\\\\nError: no such module, or none that can be read"
	               " by this one\\\\n  at main.js:1\\\\n\""),
	       "web: canary from v1 to v2: step 1 of 3, asks the gate before the step that comes\n"
	       "  into force next\n"
	       "  share [##                                      ] 5.0 % (1 of 8 workers)\n"
	       "  steps [5% 2m], 12.5% pause, 100%\n"
	       "  why   slot 0: the new worker (pid 4711) ended (exit status 1); its last lines\n"
	       "        were:\n"
	       "        Error: no such module, or none that can be read by this one\n"
	       "         at main.js:1\n"
	       "\n"
	       "SIGNAL  NEW        OLD        EVIDENCE  BAD FROM  VERDICT\n"
	       "resets  12 of 480  9 of 9100      2310      1000  bad\n");
}

static void lines(void **state)
{
	expect(deployment_view_print_line, deployment("\"phase\": \"progressing\""),
	       "web: canary from v1 to v2: step 1 of 3: v2 has 5.0 % of new connections (1 of 8 "
	       "workers)\n");
	expect(deployment_view_print_line,
	       deployment("\"phase\": \"progressing\", \"gate\": \"promotion\""),
	       "web: canary from v1 to v2: step 1 of 3: v2 has 5.0 % of new connections (1 of 8 "
	       "workers), asks the gate before the promotion\n");
	expect(deployment_view_print_line,
	       deployment("\"outcome\": \"aborted\", \"reason\": \"resets\""),
	       "web: canary from v1 to v2: aborted: v2 has 5.0 % of new connections (1 of 8 "
	       "workers); resets\n");
}

/* Which workers are held after the end. */
static void held(void **state)
{
	static const struct {
		const char *members, *wanted;
	} rows[] = {
	        {"\"outcome\": \"promoted\", \"held_until\": 4e9", "; the workers of v1 are held"},
	        {"\"outcome\": \"rolled-back\", \"held_until\": 4e9",
	         "; the workers of v1 are held"},
	        {"\"outcome\": \"aborted\", \"held_until\": 4e9", "; the workers of v2 are held"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *text =
		        printed(deployment_view_print_line, deployment(rows[i].members));

		assert_non_null(strstr(text, rows[i].wanted));
	}
}

static void wrapped(void **state)
{
	expect(deployment_view_print_wrapped,
	       deployment("\"phase\": \"paused\", \"reason\": \"asked by a person\""),
	       "web: canary from v1 to v2: step 1 of 3: v2 has 5.0 % of new connections (1 of 8\n"
	       "  workers), waits for `promote` or `abort`; asked by a person\n");
}

/* A line is printed for each change that a person wants to know, and for no other. */
static void news(void **state)
{
	static const char *const others[] = {"\"phase\": \"paused\"", "\"outcome\": \"promoted\"",
	                                     "\"verdict\": \"good\"", "\"gate\": \"start\""};
	struct json_object *d = deployment(""),
	                   *same = deployment("\"seconds\": 3.0, \"reason\": \"7 samples\"");

	assert_true(deployment_view_has_news(d, NULL));
	assert_false(deployment_view_has_news(same, d));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct json_object *other = deployment(others[i]);

		assert_true(deployment_view_has_news(other, d));
		assert_true(deployment_view_has_news(d, other));
		json_object_put(other);
	}
	json_object_object_add(same, "share", json_object_new_double(12.5));
	assert_true(deployment_view_has_news(same, d));
	json_object_put(d);
	json_object_put(same);
}

static void history(void **state)
{
	struct json_object *list = json_object_new_array();
	_cleanup_free_ char *text = NULL;

	json_object_array_add(list, deployment("\"outcome\": \"promoted\", \"seconds\": 754.2"));
	json_object_array_add(list, deployment("\"outcome\": \"aborted\", \"seconds\": 9.0, "
	                                       "\"reason\": \"resets of so many connections that"
	                                       " it takes more than one line of text to say"
	                                       "\\\\nall of it\""));
	text = printed(deployment_view_print_history, list);
	assert_non_null(strstr(text, "12m 34s  canary    v1   v2   promoted\n"));
	assert_non_null(strstr(text, "9s  canary    v1   v2   aborted\n"));
	assert_non_null(strstr(text,
	                       "v2: resets of so many connections that it takes more than "
	                       "one line of text to\n  say\n  all of it\n"));
	expect(deployment_view_print_history, json_object_new_array(),
	       "no deployment has ended yet\n");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(whole),   cmocka_unit_test(long_rows), cmocka_unit_test(lines),
	        cmocka_unit_test(held),    cmocka_unit_test(wrapped),   cmocka_unit_test(news),
	        cmocka_unit_test(history),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
