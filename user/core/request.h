/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A request to the supervisor of a service, as it comes on the control socket, or an action, as
 * clients of `web` ask for it: one JSON object. The text is untrusted: all of it is checked, by one
 * table of the requests and their fields, before anything is done.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "core/slots.h"
#include <reuseportd/abi.h>

enum request_kind {
	REQUEST_RELOAD,
	REQUEST_RESTART,
	REQUEST_SCALE,
	REQUEST_STOP,
	REQUEST_START,
	REQUEST_DEPLOY,
	REQUEST_PROMOTE,
	REQUEST_PAUSE,
	REQUEST_ABORT,
	REQUEST_ROLLBACK,
	/* Only actions, which need no supervisor: */
	REQUEST_DRAIN,
	REQUEST_RESUME,
};

#define REQUEST_TEXT_MAX 256 /* of a text, with the final NUL */

/* A field that the request does not have is all zero, and its bit in @fields is not set. */
struct request {
	enum request_kind kind;
	unsigned int fields; /* bits of enum request_field */
	char **argv;         /* at least one word, and the first one isn't empty */
	char label[RPD_LABEL_MAX];
	unsigned int batch, workers; /* at least 1 */
	bool in_place, keep_going;
	bool supersede, wait, full, force;
	bool all;           /* the request is for all services of the supervisor */
	struct slots slots; /* at least one */
	char to[RPD_LABEL_MAX];
	char why[REQUEST_TEXT_MAX];
	char **settings; /* of the deployment (config/deploy_option.h): at least one, NAME=VALUE */
};

enum request_field {
	REQUEST_ARGV = 1,
	REQUEST_LABEL = 2,
	REQUEST_BATCH = 4,
	REQUEST_IN_PLACE = 8,
	REQUEST_KEEP_GOING = 16,
	REQUEST_SLOTS = 32,
	REQUEST_WORKERS = 64,
	REQUEST_SUPERSEDE = 128,
	REQUEST_WAIT = 256,
	REQUEST_FULL = 512,
	REQUEST_TO = 1024,
	REQUEST_WHY = 2048,
	REQUEST_SETTINGS = 4096,
	REQUEST_FORCE = 8192,
	REQUEST_ALL = 16384,
};

#define _cleanup_request_ __attribute__((cleanup(request_free)))

/*
 * Parses and checks @text, of @n bytes. Slots must ascend. The caller frees *ret by request_free().
 * Returns 0, or a negative errno with @err set, which names the request, the field, and what the
 * field must be; *ret is then empty.
 */
int request_parse(const char *text, size_t n, struct request *ret, struct error *err);

/* The same for the action @kind, one of those that request_action_name() names: the object has no
 * field "do". */
int request_parse_action(enum request_kind kind, const char *text, size_t n, struct request *ret,
                         struct error *err);

/* The action's name, which is that of a command; NULL if clients of `web` can't ask for it. */
const char *request_action_name(enum request_kind kind);

/* Frees what the request owns. An empty request is allowed. */
void request_free(struct request *request);

struct json_object;

/* Makes a command out of a JSON array of words. The caller frees *ret by strv_free(). Returns 0,
 * -ENOMEM, or -EINVAL if @array is no array of at least one word, a word is no text or has a NUL,
 * or the first word is empty. */
int request_parse_command(struct json_object *array, char ***ret);
