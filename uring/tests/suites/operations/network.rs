//! The tests of sockets, and what each needs of the kernel.

use std::time::Duration;

use uring_testkit::{Facility, Feature, HandleKind, Suite};

use crate::operations::{
    Body, interface_queues, messages, multishot, send_queues, socket_commands, sockets, zero_copy,
    zero_copy_receive,
};

pub(crate) fn add_to(suite: &mut Suite) {
    let everywhere: &[(&str, Body)] = &[
        ("connect_and_accept", sockets::connect_and_accept),
        ("addresses", sockets::addresses),
        ("accept_options", sockets::accept_options),
        ("send_and_receive", messages::send_and_receive),
        ("send_to_options", messages::send_to_options),
        ("messages", messages::messages),
        ("message_descriptors", messages::descriptors),
        ("message_control", messages::control),
        ("send_vectored", zero_copy::send_vectored),
        (
            "send_registered_messages",
            zero_copy::send_registered_messages,
        ),
        ("times_of_sends", socket_commands::times_of_sends),
    ];
    for &(name, body) in everywhere {
        suite
            .test(format!("net_{name}"), body)
            .on(HandleKind::ALL)
            .timeout(Duration::from_secs(60));
    }
    suite
        .test("net_receive_zero_copy", zero_copy_receive::receive)
        .on(HandleKind::ALL)
        .requires([Facility::PRIVILEGES]);
    suite
        .test(
            "net_receive_zero_copy_unprivileged",
            zero_copy_receive::unprivileged,
        )
        .needs([zero_copy_receive::OPERATION])
        .requires([Facility::PRIVILEGES])
        .no_refusal("net_receive_zero_copy has it")
        .own_process();
    suite
        .test(
            "net_interface_queue_tells",
            interface_queues::told_and_enlarged,
        )
        .on(HandleKind::BOUND)
        .needs([zero_copy_receive::OPERATION])
        .requires([Facility::PRIVILEGES])
        .no_refusal("net_receive_zero_copy has it");
    let gated: &[(&str, Body, Body, Feature)] = &[
        (
            "socket",
            sockets::socket,
            sockets::socket_refused,
            Feature::opcode(uring_sys::IORING_OP_SOCKET),
        ),
        (
            "bind_and_listen",
            sockets::bind_and_listen,
            sockets::bind_and_listen_refused,
            Feature::opcode(uring_sys::IORING_OP_BIND),
        ),
        (
            "shutdown",
            sockets::shutdown,
            sockets::shutdown_refused,
            Feature::opcode(uring_sys::IORING_OP_SHUTDOWN),
        ),
        (
            "direct_allocated",
            sockets::direct_allocated,
            sockets::direct_allocated_refused,
            Feature::register(uring_sys::IORING_REGISTER_FILE_ALLOC_RANGE),
        ),
        (
            "queues_and_options",
            socket_commands::queues_and_options,
            socket_commands::queues_and_options_refused,
            socket_commands::SIX_SEVEN,
        ),
        (
            "names",
            socket_commands::names,
            socket_commands::names_refused,
            socket_commands::SIX_NINETEEN,
        ),
        (
            "accept_multishot",
            multishot::accept,
            multishot::accept_refused,
            multishot::FIVE_NINETEEN,
        ),
        (
            "receive_multishot",
            multishot::receive,
            multishot::receive_refused,
            multishot::SIX,
        ),
        (
            "receive_messages",
            multishot::receive_messages,
            multishot::receive_messages_refused,
            multishot::SIX,
        ),
        (
            "send_zc",
            zero_copy::send,
            zero_copy::send_refused,
            zero_copy::ZERO_COPY,
        ),
        (
            "send_queues",
            send_queues::send,
            send_queues::refused,
            send_queues::BUNDLES,
        ),
    ];
    for &(name, body, refused, feature) in gated {
        suite
            .test(format!("net_{name}"), body)
            .on(HandleKind::ALL)
            .needs([feature])
            .refused_by(refused)
            .timeout(Duration::from_secs(60));
    }
    let covered: &[(&str, Body, Feature, &str)] = &[
        (
            "receive_selected",
            multishot::receive_selected,
            multishot::FIVE_NINETEEN,
            "the buffers are refused, which the tests of buffers show",
        ),
        (
            "receive_bundles",
            multishot::receive_bundles,
            multishot::SIX,
            "receive_multishot has it",
        ),
        (
            "send_zc_registered",
            zero_copy::send_registered,
            zero_copy::ZERO_COPY,
            "send_zc has it",
        ),
        (
            "send_zc_messages",
            zero_copy::send_messages,
            zero_copy::ZERO_COPY,
            "send_zc has it",
        ),
        (
            "send_zc_behind_a_drain",
            zero_copy::behind_a_drain,
            zero_copy::ZERO_COPY,
            "send_zc has it",
        ),
    ];
    for &(name, body, feature, why) in covered {
        suite
            .test(format!("net_{name}"), body)
            .on(HandleKind::ALL)
            .needs([feature])
            .no_refusal(why)
            .timeout(Duration::from_secs(60));
    }
}
