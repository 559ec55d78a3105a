/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * An iterator over the open descriptors of all processes: it shows the processes that have one of
 * some listeners open. Any user may have any number of descriptors; here each takes a tenth of a
 * microsecond, and in /proc (kern/proc_scan.c) a hundred times that.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "kernel_types.h"

/* The inodes of the listeners. User space sets the size. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8);
} inodes SEC(".maps");

__u32 last; /* the process that was shown last: its descriptors come one after another */

/* The number of the task's process in the PID namespace of the reader; 0 = it has ended. */
static __always_inline __u32 holder_find_pid(struct task_struct *task)
{
	struct task_struct *reader = (struct task_struct *)bpf_get_current_task();
	const __u32 level = BPF_CORE_READ(reader, thread_pid, level);
	struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
	const struct upid *at;
	__u32 nr = 0;

	if (!pid)
		return 0;
	at = (void *)pid + bpf_core_field_offset(struct pid, numbers) +
	     (__u64)level * bpf_core_type_size(struct upid);
	bpf_core_read(&nr, sizeof(nr), &at->nr);
	return nr;
}

SEC("iter/task_file")
int show_holder(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	__u32 inode, pid;

	if (!task || !file || !bpf_sock_from_file(file))
		return 0;
	inode = file->f_inode->i_ino;
	if (!bpf_map_lookup_elem(&inodes, &inode))
		return 0;
	pid = holder_find_pid(task);
	if (!pid || pid == last)
		return 0;
	last = pid;
	bpf_seq_write(ctx->meta->seq, &pid, sizeof(pid));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
