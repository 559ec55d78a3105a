/* SPDX-License-Identifier: BSD-2-Clause */
/* Map "members": where each listener was admitted, by its cookie. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kern/steer.h"

/* Each function returns 0 or a negative errno: -ENOENT if the listener @cookie is not a member. */
int steer_members_get(const struct steer *steer, uint64_t cookie, struct rpd_member *ret);
int steer_members_set(struct steer *steer, uint64_t cookie, const struct rpd_member *member);
int steer_members_remove(struct steer *steer, uint64_t cookie);

/* Marks the listener @fd, so that groups_read() finds it. The service must be locked. Does nothing
 * where groups can't be read, and if @fd is no socket. */
int steer_members_mark(struct steer *steer, int fd);

struct steer_member {
	uint64_t cookie;
	struct rpd_member row;
};

/* All members, by cookie. */
struct steer_members {
	struct steer_member *list;
	size_t n;
};

#define _cleanup_steer_members_ __attribute__((cleanup(steer_members_free)))

/* Lists all members, for steer_members_free() also after an error. Returns 0 or a negative errno.
 */
int steer_members_list(const struct steer *steer, struct steer_members *ret);

/* The row of the listener @cookie, or NULL if it is not a member. */
const struct rpd_member *steer_members_find(const struct steer_members *members, uint64_t cookie);

void steer_members_free(struct steer_members *members);
