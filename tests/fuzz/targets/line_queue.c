/* SPDX-License-Identifier: BSD-2-Clause */
/* What workers print, while it waits to be written. The input is a list of operations; a plain text
 * is the model of the queue. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/line_queue.h"
#include "fuzz.h"

#define PREFIX "p: "

/* The lines, without prefix, and how much of the first one, with its prefix, was written. */
struct model {
	char *text;
	size_t n, started;
};

static size_t measure_line(const struct model *model, size_t at)
{
	const char *end = memchr(model->text + at, '\n', model->n - at);

	return end ? (size_t)(end + 1 - (model->text + at)) : model->n - at;
}

static void remove_line(struct model *model, size_t at)
{
	const size_t n = measure_line(model, at);

	memmove(model->text + at, model->text + at + n, model->n - at - n);
	model->n -= n;
}

/* All whole lines with their prefixes, without what was written. Returns the length. */
static size_t write_all(const struct model *model, char *to)
{
	char *start = to;
	size_t n;

	for (size_t at = 0; memchr(model->text + at, '\n', model->n - at); at += n) {
		n = measure_line(model, at);
		to = mempcpy(mempcpy(to, PREFIX, strlen(PREFIX)), model->text + at, n);
	}
	n = (size_t)(to - start);
	FUZZ_CHECK(model->started <= n);
	memmove(start, start + model->started, n - model->started);
	return n - model->started;
}

static void take_written(struct model *model, size_t n)
{
	for (size_t left; n; n -= left) {
		left = strlen(PREFIX) + measure_line(model, 0) - model->started;
		if (n < left) {
			model->started += n;
			return;
		}
		remove_line(model, 0);
		model->started = 0;
	}
}

/* Whole lines are copied, as many as fit, or the beginning of the first one. */
static void write_some(struct line_queue *queue, struct model *model, size_t max, size_t part)
{
	_cleanup_free_ char *all = malloc((model->n + 1) * (strlen(PREFIX) + 1));
	_cleanup_free_ char *copy = malloc(max + 1);
	const size_t n_all = write_all(model, all);
	const size_t n = line_queue_copy(queue, PREFIX, max, copy);

	FUZZ_CHECK(n <= max && n <= n_all && !memcmp(all, copy, n));
	FUZZ_CHECK(n == max || n == n_all || (n && all[n - 1] == '\n'));
	FUZZ_CHECK(line_queue_has_line(queue) == (n_all > 0));
	part %= n + 1;
	line_queue_written(queue, PREFIX, part);
	take_written(model, part);
}

/* All but a line that was written in part may be dropped. */
static void drop(struct line_queue *queue, struct model *model, size_t n)
{
	const size_t at = model->started ? measure_line(model, 0) : 0, before = model->n;
	const size_t lines = line_queue_drop(queue, n);

	for (size_t i = 0; i < lines; i++) {
		FUZZ_CHECK(at < model->n);
		remove_line(model, at);
	}
	FUZZ_CHECK(before - model->n >= n || model->n == at);
}

static void run(const char *text, size_t size)
{
	struct line_queue queue = {};
	struct model model = {.text = malloc(2 * size + 1)};
	const char *at = text, *end = at + size;

	while (end - at >= 3) {
		const unsigned int operation = (unsigned char)at[0] % 8;
		const size_t a = (unsigned char)at[1], b = (unsigned char)at[2];

		at += 3;
		if (operation < 4) {
			const size_t n = a < (size_t)(end - at) ? a : (size_t)(end - at);

			FUZZ_CHECK(line_queue_add(&queue, at, n));
			memcpy(model.text + model.n, at, n);
			model.n += n;
			at += n;
		} else if (operation == 4) {
			line_queue_end_line(&queue);
			if (model.n && model.text[model.n - 1] != '\n')
				model.text[model.n++] = '\n';
		} else if (operation < 7) {
			write_some(&queue, &model, a, b);
		} else {
			drop(&queue, &model, a);
		}
		FUZZ_CHECK(line_queue_length(&queue) == model.n);
	}
	line_queue_free(&queue);
	free(model.text);
}

const struct fuzz_target fuzz_target = {run, 16};
