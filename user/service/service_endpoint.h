/* SPDX-License-Identifier: BSD-2-Clause */
/* The endpoints of a service. Each is one reuseport group of the kernel. */
#pragma once

#include "base/error.h"
#include "core/listener.h"
#include "service/service.h"

/* The index of an endpoint in the service, or -1. */
int service_endpoint_index(const struct service *service, const struct rpd_endpoint *endpoint);

/*
 * Adds an endpoint to a complete service. If the command is killed, the endpoint has been added or
 * it has not; nothing is left in between. Does not attach the program to the group: that happens
 * with the first listener, in admit() or parking_open(). Returns the index of the endpoint, or a
 * negative errno with @err set, also if the endpoint belongs to another service.
 */
int service_endpoint_add(struct service *service, const struct rpd_endpoint *endpoint,
                         struct error *err);

enum service_endpoint_member {
	SERVICE_ENDPOINT_BORROWED,
	SERVICE_ENDPOINT_NO_MEMBER, /* the group has no listener any more */
};

/*
 * Duplicates any listener of the endpoint's group, for socket options of the group. The caller
 * closes *ret_fd as soon as possible (proc_duplicate_fd()). Returns an enum
 * service_endpoint_member, or a negative errno. Sets @err unless a listener was borrowed.
 */
int service_endpoint_borrow(const struct service *service, unsigned int endpoint, int *ret_fd,
                            struct error *err);

/* The same for all endpoints at once, only through the processes in the slots, and so without a
 * search in all of /proc. The entries of other endpoints in @ret_fds become -1. */
void service_endpoint_borrow_from_workers(const struct service *service,
                                          int ret_fds[RPD_ENDPOINT_MAX]);

/*
 * Attaches the endpoint's program to its group, through any listener that allows it (a listener
 * with SO_LOCK_FILTER does not). A program that the group has is replaced. Returns an enum
 * service_endpoint_member, or a negative errno. Sets @err unless the program is attached.
 */
int service_endpoint_attach(const struct service *service, unsigned int endpoint,
                            struct error *err);

/* As service_endpoint_attach(), through one of the @n listeners of the group, which have these
 * holders (in the order of their inodes): without a search in /proc if that succeeds. */
int service_endpoint_attach_by(const struct service *service, unsigned int endpoint,
                               const struct listener *listeners, size_t n,
                               const struct holder *holders, size_t n_holders, struct error *err);

/* Duplicates one of the @n listeners, which have the same port. Returns the descriptor, which the
 * caller closes as soon as possible; or a negative errno with @err set if no process that has one
 * of them open can be seen. */
int service_endpoint_borrow_any(const struct service *service, const struct listener *listeners,
                                size_t n, struct error *err);
