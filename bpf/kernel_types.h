/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The few fields of kernel types that the programs read. CO-RE finds them by name in the running
 * kernel's BTF, so their offsets here mean nothing.
 */
#pragma once

#define KERNEL_TYPE __attribute__((preserve_access_index))

typedef struct {
	long long counter;
} atomic64_t;

struct in6_addr {
	unsigned int words[4];
};

struct sock_common {
	unsigned char skc_state;
	unsigned short skc_family;
	unsigned char skc_reuseport : 1;
	unsigned int skc_daddr;       /* remote address, network order ... */
	struct in6_addr skc_v6_daddr; /* ... of an IPv6 socket; may be mapped */
	unsigned short skc_num;       /* local port, host order; 0 after the port is given up */
	struct {
		struct net *net;
	} skc_net;
	atomic64_t skc_cookie;
} KERNEL_TYPE;

struct bpf_prog_aux {
	unsigned int id; /* 0: a classic program */
} KERNEL_TYPE;

struct bpf_prog {
	struct bpf_prog_aux *aux;
} KERNEL_TYPE;

struct sock;

struct sock_reuseport {
	unsigned short num_socks; /* that listen */
	struct bpf_prog *prog;
	struct sock *socks[1]; /* the members */
} KERNEL_TYPE;

struct list_head {
	struct list_head *next;
} KERNEL_TYPE;

struct wait_queue_head {
	struct list_head head;
} KERNEL_TYPE;

struct wait_queue_entry {
	struct list_head entry;
} KERNEL_TYPE;

struct socket_wq {
	struct wait_queue_head wait;
} KERNEL_TYPE;

struct socket;

struct sock {
	struct sock_common __sk_common;
	struct socket_wq *sk_wq;
	struct socket *sk_socket;
	int sk_err;
	struct sock_reuseport *sk_reuseport_cb; /* the socket's group */
} KERNEL_TYPE;

typedef struct {
	int counter;
} atomic_t;

struct request_sock_queue {
	atomic_t qlen; /* handshakes under way */
} KERNEL_TYPE;

struct inet_sock {
	unsigned short inet_sport; /* local port, network order */
} KERNEL_TYPE;

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	struct request_sock_queue icsk_accept_queue;
} KERNEL_TYPE;

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	struct list_head tsorted_sent_queue;
} KERNEL_TYPE;

struct inode {
	unsigned long i_ino;
} KERNEL_TYPE;

struct file {
	struct inode *f_inode;
	void *private_data;
} KERNEL_TYPE;

struct socket {
	struct file *file;
	struct sock *sk;
} KERNEL_TYPE;

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
} KERNEL_TYPE;

struct files_struct {
	struct fdtable *fdt;
} KERNEL_TYPE;

struct upid { /* the number of a process in one PID namespace */
	int nr;
} KERNEL_TYPE;

struct pid {
	unsigned int level;     /* of the process's own PID namespace */
	struct upid numbers[1]; /* by level */
} KERNEL_TYPE;

struct task_struct {
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct files_struct *files;
	unsigned long long start_boottime;
} KERNEL_TYPE;

struct eventpoll {
	struct file *file;
} KERNEL_TYPE;

struct epoll_filefd {
	struct file *file;
} KERNEL_TYPE;

struct epitem { /* a file that an epoll descriptor watches */
	struct eventpoll *ep;
	struct epoll_filefd ffd;
} KERNEL_TYPE;

struct eppoll_entry { /* its entry in the file's wait queue */
	struct epitem *base;
	struct wait_queue_entry wait;
} KERNEL_TYPE;

struct seq_file {
	unsigned long count; /* bytes that the read has written */
} KERNEL_TYPE;

struct bpf_iter_meta {
	unsigned long long session_id; /* of a descriptor of the iterator */
	struct seq_file *seq;
} KERNEL_TYPE;

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	void *key;
	void *value;
} KERNEL_TYPE;

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	unsigned int fd;
	struct file *file;
} KERNEL_TYPE;

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
} KERNEL_TYPE;
