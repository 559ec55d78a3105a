/* SPDX-License-Identifier: BSD-2-Clause */
#include "worker.h"

#include <ctype.h>
#include <err.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#define WORKER_MAX 4096 /* different ids; further ids are counted as "(others)" */

static int worker_compare(const void *a, const void *b)
{
	const struct worker *one = a, *other = b;

	return strverscmp(one->id, other->id);
}

struct worker *workers_get(struct workers *workers, const char *id, size_t len)
{
	struct worker wanted = {0}, **found, *new;

	/* Without blanks, so that a line of the log keeps its columns. */
	for (size_t i = 0; i < len && i < WORKER_ID_MAX; i++)
		wanted.id[i] = isgraph((unsigned char)id[i]) ? id[i] : '_';
	if (len == 0)
		wanted.id[0] = '-';
	found = tfind(&wanted, &workers->tree, worker_compare);
	if (!found && workers->n >= WORKER_MAX) {
		strcpy(wanted.id, "(others)");
		found = tfind(&wanted, &workers->tree, worker_compare);
	}
	if (found)
		return *found;

	new = malloc(sizeof(*new));
	if (!new)
		err(EXIT_FAILURE, "worker %s", wanted.id);
	*new = wanted;
	if (!tsearch(new, &workers->tree, worker_compare))
		err(EXIT_FAILURE, "worker %s", wanted.id);
	workers->n++;
	return new;
}

struct walk {
	void (*visit)(const struct worker *worker, void *data);
	void *data;
};

static void worker_visit_node(const void *node, VISIT visit, void *data)
{
	const struct walk *walk = data;

	if (visit == postorder || visit == leaf)
		walk->visit(*(const struct worker *const *)node, walk->data);
}

void workers_walk(const struct workers *workers,
                  void (*visit)(const struct worker *worker, void *data), void *data)
{
	struct walk walk = {visit, data};

	twalk_r(workers->tree, worker_visit_node, &walk);
}

void workers_deinit(struct workers *workers)
{
	tdestroy(workers->tree, free);
}
