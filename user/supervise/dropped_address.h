/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses that a reload has dropped, and that other endpoints cover: 0.0.0.0 where the new
 * workers listen on [::]. While old workers have listeners there, the kernel prefers these. Until
 * they are gone, new connections are led on to the new workers (kern/detour.h).
 */
#pragma once

#include "service/service.h"
#include "supervise/types.h"

/* Leads connections to the address on, which is that of an endpoint that is about to be removed
 * from the service. Reports it if that fails. The service must be locked. */
void dropped_address_add(struct supervisor *sup, struct service *service,
                         const struct rpd_endpoint *address);

/* The same for the addresses of workers of an earlier supervisor that are in no slot. */
void dropped_address_recall(struct supervisor *sup, struct service *service);

/* Forgets addresses where no worker listens any more, or that are endpoints again. Leads
 * connections on or not, as other programs need. The service must be locked. */
void dropped_address_update(struct supervisor *sup);

/* Forgets all of them. */
void dropped_address_end(struct supervisor *sup);
