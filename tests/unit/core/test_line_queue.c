/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/line_queue.h"

#define _cleanup_queue_ _cleanup_(line_queue_free)

static char taken[1 << 20];

static void add(struct line_queue *queue, const char *text)
{
	assert_true(line_queue_add(queue, text, strlen(text)));
}

/* What is written with @prefix if a target accepts @at_once bytes at a time. */
static const char *take(struct line_queue *queue, const char *prefix, size_t at_once)
{
	size_t n, all = 0;

	while ((n = line_queue_copy(queue, prefix, at_once, taken + all))) {
		line_queue_written(queue, prefix, n);
		all += n;
	}
	taken[all] = '\0';
	return taken;
}

static void whole_lines_only(void **context)
{
	_cleanup_queue_ struct line_queue queue = {0};

	add(&queue, "one\ntw");
	assert_true(line_queue_has_line(&queue));
	assert_string_equal(take(&queue, "", 100), "one\n");
	assert_false(line_queue_has_line(&queue));
	assert_int_equal(line_queue_length(&queue), 2);
	add(&queue, "o\n\nthree");
	assert_string_equal(take(&queue, "p| ", 100), "p| two\np| \n");
	line_queue_end_line(&queue);
	line_queue_end_line(&queue);
	assert_string_equal(take(&queue, "p| ", 100), "p| three\n");
	assert_null(queue.text);
	line_queue_end_line(&queue);
	assert_false(line_queue_has_line(&queue));
}

/* Lines go as a whole into one piece if they fit into it; pieces of any size are right. */
static void pieces(void **context)
{
	char piece[16];

	for (size_t at_once = 1; at_once < 40; at_once++) {
		_cleanup_queue_ struct line_queue queue = {0};

		add(&queue, "a\nlonger line\n\nlast\n");
		assert_string_equal(take(&queue, "12 ", at_once),
		                    "12 a\n12 longer line\n12 \n12 last\n");
	}
	struct line_queue queue = {0};

	add(&queue, "abc\ndef\n");
	assert_int_equal(line_queue_copy(&queue, "", 7, piece), 4);
	assert_int_equal(line_queue_copy(&queue, "", 8, piece), 8);
	assert_int_equal(line_queue_copy(&queue, "", 2, piece), 2);
	line_queue_free(&queue);
}

static void long_lines_are_split(void **context)
{
	_cleanup_queue_ struct line_queue queue = {0};
	static char text[3 * LINE_QUEUE_LINE_MAX + 8];
	const size_t n = sizeof(text) - 1;

	memset(text, 'x', n);
	text[LINE_QUEUE_LINE_MAX] = '\n'; /* this line isn't too long */
	for (size_t i = 0; i < n; i += 1000)
		assert_true(line_queue_add(&queue, text + i, i + 1000 < n ? 1000 : n - i));
	line_queue_end_line(&queue);
	assert_int_equal(line_queue_count(queue.text + queue.begin, line_queue_length(&queue)), 4);
	take(&queue, "", 4096);
	for (int i = 0; i < 3; i++)
		assert_int_equal(strcspn(taken + i * (LINE_QUEUE_LINE_MAX + 1), "\n"),
		                 LINE_QUEUE_LINE_MAX);
	assert_int_equal(strlen(taken), n + 3);
}

static void oldest_lines_are_dropped(void **context)
{
	_cleanup_queue_ struct line_queue queue = {0};
	char text[8];

	add(&queue, "1\n22\n333\n4");
	assert_int_equal(line_queue_drop(&queue, 0), 0);
	assert_int_equal(line_queue_drop(&queue, 3), 2);
	assert_string_equal(take(&queue, "", 100), "333\n");
	add(&queue, "4\n5");
	assert_int_equal(line_queue_drop(&queue, 100), 2);
	assert_int_equal(line_queue_length(&queue), 0);
	/* The line that was written in part stays, and goes on. */
	add(&queue, "1\n22\n333\n");
	assert_int_equal(line_queue_copy(&queue, "p|", 3, text), 3);
	line_queue_written(&queue, "p|", 3);
	assert_int_equal(line_queue_drop(&queue, 1), 1);
	assert_string_equal(take(&queue, "p|", 100), "\np|333\n");
}

/* Random text, in random pieces, with room that runs out and is used again. */
static void random_text(void **context)
{
	static char sent[200000], got[200000];
	_cleanup_queue_ struct line_queue queue = {0};
	size_t n_sent = 0, n_got = 0;

	srand(7);
	while (n_sent < sizeof(sent) - 300 || line_queue_has_line(&queue)) {
		size_t n = n_sent < sizeof(sent) - 300 ? (size_t)(rand() % 300) : 0;

		for (size_t i = 0; i < n; i++)
			sent[n_sent + i] = rand() % 20 ? 'a' + rand() % 26 : '\n';
		assert_true(line_queue_add(&queue, sent + n_sent, n));
		n_sent += n;
		n = line_queue_copy(&queue, "", (size_t)(1 + rand() % 310), got + n_got);
		line_queue_written(&queue, "", n);
		n_got += n;
	}
	assert_int_equal(n_sent - n_got, line_queue_length(&queue));
	assert_memory_equal(got, sent, n_got);
}

static void lines_are_counted(void **context)
{
	assert_int_equal(line_queue_count("", 0), 0);
	assert_int_equal(line_queue_count("a", 1), 1);
	assert_int_equal(line_queue_count("a\n\nb", 4), 3);
	assert_int_equal(line_queue_count("\0\n", 2), 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(whole_lines_only),     cmocka_unit_test(pieces),
	        cmocka_unit_test(long_lines_are_split), cmocka_unit_test(oldest_lines_are_dropped),
	        cmocka_unit_test(random_text),          cmocka_unit_test(lines_are_counted),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
