/* SPDX-License-Identifier: BSD-2-Clause */
/* Map "members": where each listener was admitted, by its cookie. */
#pragma once

#include <stdint.h>

#include "kern/steer.h"

/* Each function returns 0 or a negative errno: -ENOENT if the listener @cookie is not a member. */
int steer_members_get(const struct steer *steer, uint64_t cookie, struct rpd_member *ret);
int steer_members_set(struct steer *steer, uint64_t cookie, const struct rpd_member *member);
int steer_members_remove(struct steer *steer, uint64_t cookie);

/* Steps through the cookies, in no order: the cookie after *@cookie, or the first if that is NULL.
 * -ENOENT at the end. */
int steer_members_next(const struct steer *steer, const uint64_t *cookie, uint64_t *ret);
