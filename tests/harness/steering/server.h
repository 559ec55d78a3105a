/* SPDX-License-Identifier: BSD-2-Clause */
/* Accepts from a bed's listeners, one connection after the other. */
#pragma once

#include "steering/bed.h"

/* Accepts a connection that is in the listener's queue now. Returns a descriptor, or -1. */
int server_accept(struct bed *bed, unsigned int listener);

/* The same for the first listener that has a connection, from @first on. */
int server_accept_any(struct bed *bed, unsigned int first);

/* Waits until @n connections have come, to any listeners, accepts them, and closes them. */
void server_collect(struct bed *bed, unsigned int n);

/* Connections that were accepted from the listener. */
unsigned int server_taken(const struct bed *bed, unsigned int listener);
