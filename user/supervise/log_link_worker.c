/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/log_link_worker.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "kern/peer_message.h"
#include "supervise/plan.h"
#include "supervise/worker_log.h"

struct log_link_worker *log_link_worker_add(struct log_link_worker **list, struct plan *plan,
                                            unsigned int slot, unsigned int number,
                                            const int fds[2], int channel)
{
	struct log_link_worker *it = calloc(1, sizeof(*it));

	if (!it)
		return NULL;
	*it = (struct log_link_worker){.next = *list,
	                               .plan = plan_ref(plan),
	                               .slot = slot,
	                               .number = number,
	                               .fds = {fds[0], fds[1], channel}};
	*list = it;
	return it;
}

struct log_link_worker *log_link_worker_find(struct log_link_worker *list, unsigned int slot,
                                             unsigned int number)
{
	struct log_link_worker *it = list;

	while (it && (it->slot != slot || it->number != number))
		it = it->next;
	return it;
}

void log_link_worker_free(struct log_link_worker **at)
{
	struct log_link_worker *it = *at;

	*at = it->next;
	plan_unref(it->plan);
	cleanup_close(&it->fds[0]);
	cleanup_close(&it->fds[1]);
	/* Else the worker goes on, and so does the log process. */
	if (it->gone)
		peer_message_shut(it->fds[LOG_MESSAGE_CHANNEL]);
	cleanup_close(&it->fds[LOG_MESSAGE_CHANNEL]);
	free(it);
}

int log_link_worker_send(struct log_link_worker *it, int fd, const char *service)
{
	struct log_message message;
	int r = 0;

	if (!it->sent) {
		worker_log_describe(&it->plan->config, service, it->slot, it->number, &message);
		r = log_message_send(fd, &message, it->fds);
		it->sent = r == 0;
	}
	if (r == 0 && it->gone) {
		message = (struct log_message){
		        .kind = LOG_MESSAGE_GONE, .slot = it->slot, .number = it->number};
		r = log_message_send(fd, &message, NULL);
	}
	return r;
}
