/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Leads new connections to an address on to the listeners of an endpoint that covers it, although
 * other listeners have the address, which the kernel would prefer. For the network namespace of
 * this process, until detour_free() or its end.
 */
#pragma once

#include "base/error.h"
#include <reuseportd/abi.h>
#include <reuseportd/detour_abi.h>

struct detour;

/* Loads and attaches the program, without any address. */
int detour_open(struct detour **ret, struct error *err);

/*
 * Leads connections to @from on to @listener or, if that is in a reuseport group with a program, to
 * the member that the program selects. @index: below DETOUR_MAX, unused. Connections to all
 * addresses of the port are led on if @from has none: no listener gets connections to a more
 * specific address then.
 */
int detour_add(struct detour *detour, unsigned int index, const struct rpd_endpoint *from,
               int listener, struct error *err);

/* Undoes detour_add(). */
void detour_remove(struct detour *detour, unsigned int index, const struct rpd_endpoint *from);

/* NULL is fine. */
void detour_free(struct detour *detour);
