/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/config_read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/memory.h"
#include "config/load_child.h"
#include "stream/log.h"

/* More than node has (config/node.c), for a slow disk. */
#define TIMEOUT_S 20

struct config_read_request {
	struct config_read_request *next;
	config_read_done done;
	void *data;
	bool begun; /* the child that runs has started after the request */
};

struct config_read {
	sd_event *loop;
	const struct args *args;
	const struct load_result *first;
	char *warnings;                       /* of the last time; NULL = none, or no memory */
	struct config_read_request *requests; /* in order */
	struct load_child *child;
	sd_event_source *source, *timer;
	sd_event_source *begin; /* starts a child for all requests of the same moment */
};

/* --- warnings */

const struct run_config *config_read_find(const struct load_result *loaded, const char *service)
{
	for (size_t c = 0; c < loaded->n; c++)
		if (!strcmp(loaded->configs[c].service, service))
			return &loaded->configs[c];
	return NULL;
}

/* The warnings about the file in its present state, one a line. The caller frees them. NULL if
 * memory is short. */
static char *config_read_warnings_text(const struct config_read *reader,
                                       const struct load_result *loaded)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	if (!out)
		return NULL;
	problems_print(out, &loaded->problems, false, true);
	for (size_t c = 0; c < loaded->n; c++)
		if (!config_read_find(reader->first, loaded->configs[c].service))
			fprintf(out,
			        "reuseportd: service '%s' of %s is new: send SIGUSR2 to start it; "
			        "running workers go on\n",
			        loaded->configs[c].service, reader->args->file);
	return memory_close_text(out, &text);
}

/* Warnings go to the log, because the supervisor must not wait for a reader of its standard error.
 * Warnings that do not change are logged once. */
static void config_read_log_warnings(struct config_read *reader, const struct load_result *loaded)
{
	char *text = config_read_warnings_text(reader, loaded);

	if (text && *text && (!reader->warnings || strcmp(text, reader->warnings) != 0))
		log_line("%.*s", (int)strlen(text) - 1, text);
	free(reader->warnings);
	reader->warnings = text;
}

/* --- the child */

/* Starts the next child, if a request waits for it. */
static void config_read_begin_later(struct config_read *reader)
{
	if (reader->requests && !reader->child)
		sd_event_source_set_enabled(reader->begin, SD_EVENT_ONESHOT);
}

static void config_read_end_child(struct config_read *reader)
{
	reader->source = sd_event_source_disable_unref(reader->source);
	reader->timer = sd_event_source_disable_unref(reader->timer);
	load_child_free(reader->child);
	reader->child = NULL;
}

/* The first request that the child that has ended was for. */
static struct config_read_request *config_read_take(struct config_read *reader)
{
	struct config_read_request *request = reader->requests;

	if (!request || !request->begun)
		return NULL;
	reader->requests = request->next;
	return request;
}

/* Answers the requests. An answer may add or drop requests. */
static void config_read_answer(struct config_read *reader, int r, const struct load_result *loaded,
                               const struct error *err)
{
	struct config_read_request *request;

	config_read_end_child(reader);
	if (r >= 0)
		config_read_log_warnings(reader, loaded);
	while ((request = config_read_take(reader))) {
		request->done(request->data, r, loaded, err);
		free(request);
	}
	config_read_begin_later(reader);
}

static int config_read_on_child(sd_event_source *source, int fd, uint32_t events, void *data)
{
	_cleanup_load_result_ struct load_result loaded = {};
	struct config_read *reader = data;
	struct error err = {};
	int r = load_child_read(reader->child);

	if (r == LOAD_CHILD_MORE)
		return 0;
	if (r < 0)
		error_set(&err, r, "can't read '%s': %s", reader->args->file, strerror(-r));
	else
		r = load_child_result(reader->child, &loaded, &err);
	config_read_answer(reader, r, &loaded, &err);
	return 0;
}

static int config_read_on_timeout(sd_event_source *source, uint64_t now, void *data)
{
	const struct load_result nothing = {};
	struct config_read *reader = data;
	struct error err;
	int r = error_set(&err, -ETIME, "can't read '%s': it has taken more than %d s",
	                  reader->args->file, TIMEOUT_S);

	config_read_answer(reader, r, &nothing, &err);
	return 0;
}

/* Starts a child for all requests. Returns a negative errno with @err set if there is none then. */
static int config_read_start_child(struct config_read *reader, struct error *err)
{
	int r = load_child_start(reader->args, &reader->child, err);

	if (r < 0)
		return r;
	r = sd_event_add_io(reader->loop, &reader->source, load_child_fd(reader->child), EPOLLIN,
	                    config_read_on_child, reader);
	if (r >= 0)
		r = sd_event_add_time_relative(reader->loop, &reader->timer, CLOCK_MONOTONIC,
		                               TIMEOUT_S * 1000000ull, 1000, config_read_on_timeout,
		                               reader);
	return r < 0 ? error_set(err, r, "can't watch the process that reads '%s': %s",
	                         reader->args->file, strerror(-r))
	             : 0;
}

static int config_read_on_begin(sd_event_source *source, void *data)
{
	const struct load_result nothing = {};
	struct config_read *reader = data;
	struct error err = {};
	int r;

	if (!reader->requests || reader->child)
		return 0;
	for (struct config_read_request *it = reader->requests; it; it = it->next)
		it->begun = true;
	r = config_read_start_child(reader, &err);
	if (r < 0)
		config_read_answer(reader, r, &nothing, &err);
	return 0;
}

/* --- requests */

int config_read_new(sd_event *loop, const struct args *args, const struct load_result *first,
                    struct config_read **ret)
{
	struct config_read *reader = calloc(1, sizeof(*reader));
	int r;

	if (!reader)
		return -ENOMEM;
	*reader = (struct config_read){.loop = loop, .args = args, .first = first};
	r = sd_event_add_defer(loop, &reader->begin, config_read_on_begin, reader);
	if (r >= 0)
		r = sd_event_source_set_enabled(reader->begin, SD_EVENT_OFF);
	if (r < 0) {
		config_read_free(reader);
		return r;
	}
	reader->warnings = config_read_warnings_text(reader, first);
	*ret = reader;
	return 0;
}

int config_read_request(struct config_read *reader, config_read_done done, void *data)
{
	struct config_read_request *request = calloc(1, sizeof(*request)), **end;

	if (!request)
		return -ENOMEM;
	*request = (struct config_read_request){.done = done, .data = data};
	for (end = &reader->requests; *end; end = &(*end)->next)
		;
	*end = request;
	config_read_begin_later(reader);
	return 0;
}

bool config_read_has(const struct config_read *reader, const void *data)
{
	for (const struct config_read_request *it = reader->requests; it; it = it->next)
		if (it->data == data)
			return true;
	return false;
}

void config_read_drop(struct config_read *reader, const void *data)
{
	struct config_read_request **at = &reader->requests;

	while (*at) {
		struct config_read_request *request = *at;

		if (request->data != data) {
			at = &request->next;
			continue;
		}
		*at = request->next;
		free(request);
	}
	if (reader->child && (!reader->requests || !reader->requests->begun)) {
		config_read_end_child(reader);
		config_read_begin_later(reader);
	}
}

void config_read_free(struct config_read *reader)
{
	if (!reader)
		return;
	config_read_end_child(reader);
	sd_event_source_disable_unref(reader->begin);
	while (reader->requests) {
		struct config_read_request *request = reader->requests;

		reader->requests = request->next;
		free(request);
	}
	free(reader->warnings);
	free(reader);
}
