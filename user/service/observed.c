/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/observed.h"

#include <stdlib.h>
#include <string.h>

void observed_free(struct observed *o)
{
	free(o->listeners);
	free(o->holders);
	free(o->slots);
	free(o->workers);
	free(o->foreign);
	free(o->groups);
	steer_members_free(&o->members);
	memset(o, 0, sizeof(*o));
}

static int observed_compare_cookies(const void *a, const void *b)
{
	const struct listener *x = a, *y = b;

	return (x->cookie > y->cookie) - (x->cookie < y->cookie);
}

void observed_sort_listeners(struct observed *o)
{
	if (o->n_listeners)
		qsort(o->listeners, o->n_listeners, sizeof(*o->listeners),
		      observed_compare_cookies);
}

const struct listener *observed_listener(const struct observed *o, uint64_t cookie)
{
	const struct listener key = {.cookie = cookie};

	if (o->n_listeners == 0)
		return NULL;
	return bsearch(&key, o->listeners, o->n_listeners, sizeof(key), observed_compare_cookies);
}

bool observed_is_in_slot(const struct observed *o, unsigned int slot, uint64_t cookie)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (o->slots[slot].cookies[e] == cookie)
			return true;
	return false;
}

int observed_slot_of(const struct observed *o, uint64_t cookie)
{
	for (unsigned int slot = 0; slot < o->n_slots; slot++)
		if (observed_is_in_slot(o, slot, cookie))
			return (int)slot;
	return -1;
}

bool observed_has_worker(const struct observed *o, unsigned int endpoint)
{
	for (unsigned int slot = 0; slot < o->n_slots; slot++)
		if (o->slots[slot].cookies[endpoint])
			return true;
	return false;
}
