/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The answers of the last second: however many clients ask for a path, there is one look a second.
 * If the next look finds the service's lock busy, the answer is given for another second. If there
 * are too many different paths, the oldest answer makes room. The answer that a service
 * does not exist is not kept, because clients can think of any name.
 */
#pragma once

#include "web/http_library.h"
#include "web/route.h"

#define ANSWERS_MAX     256
#define ANSWERS_KEPT_NS NS_PER_S
#define ANSWERS_BUSY_NS (2 * NS_PER_S)

struct answer {
	const struct route *route; /* NULL = a free row */
	char service[RPD_LABEL_MAX];
	int64_t seen, until; /* CLOCK_MONOTONIC, ns */
	unsigned int status;
	bool is_draining; /* of struct look */
	struct MHD_Response *response;
	struct json_object *events; /* all of them; NULL = the response is for each client */
};

/* Empty: {}. */
struct answers {
	int64_t change; /* of the marks (service/drain_mark.h), before the answers were made */
	struct answer rows[ANSWERS_MAX];
};

/* Frees all answers if a mark has changed meanwhile: as soon as `drain-host` has said so, no client
 * gets another answer. @change: of the marks, now. */
void answers_note_change(struct answers *answers, int64_t change);

/* The answer that is kept, or NULL. */
const struct answer *answers_find(const struct answers *answers, const struct route *route,
                                  const char *service, int64_t now);

/* The same for an answer that is older than a second, which is then kept until it is two seconds
 * old. */
const struct answer *answers_find_old(struct answers *answers, const struct route *route,
                                      const char *service, int64_t now);

/* Keeps the answer, and takes what it owns. */
const struct answer *answers_keep(struct answers *answers, const struct answer *answer,
                                  int64_t now);

/* Frees the answers that are two seconds old. Returns when the next one is, or INT64_MAX. */
int64_t answers_expire(struct answers *answers, int64_t now);

/* Frees what an answer owns. */
void answers_free_one(struct answer *answer);

void answers_free(struct answers *answers);
