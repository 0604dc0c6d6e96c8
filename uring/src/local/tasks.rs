//! Spawned tasks: who they are, and running them.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::Inner;
use super::ready::{Key, Ready};
use crate::handle::Bound;

/// The tasks of one ring. One that is run is not in its place meanwhile.
#[derive(Default)]
pub(super) struct Tasks {
    tasks: HashMap<Key, Option<Task>>,
    last: u64,
}

/// A spawned future. Never dropped while the tasks are borrowed: its destructor may spawn.
pub(super) struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    caller: Arc<TaskCaller>,
    waker: Waker,
}

/// What a task's waker holds.
struct TaskCaller {
    key: Key,
    /// It is to be run already.
    called: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for TaskCaller {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.called.swap(true, Ordering::AcqRel) {
            self.ready.call_task(self.key);
        }
    }
}

impl Tasks {
    /// Adds a task, to be run for the first time.
    pub(super) fn add(
        &mut self,
        future: Pin<Box<dyn Future<Output = ()>>>,
        ready: &Arc<Ready>,
    ) -> Key {
        self.last += 1;
        let key = Key(self.last);
        let caller = Arc::new(TaskCaller {
            key,
            called: AtomicBool::new(false),
            ready: Arc::clone(ready),
        });
        let waker = Waker::from(Arc::clone(&caller));
        waker.wake_by_ref();
        let task = Task {
            future,
            caller,
            waker,
        };
        self.tasks.insert(key, Some(task));
        key
    }

    fn take_to_run(&mut self, key: Key) -> Option<Task> {
        self.tasks.get_mut(&key)?.take()
    }

    /// Puts a task back that has been run. Gives it if it was aborted meanwhile.
    fn put_back(&mut self, key: Key, task: Task) -> Option<Task> {
        match self.tasks.get_mut(&key) {
            Some(place) => place.replace(task),
            None => Some(task),
        }
    }

    /// Forgets a task. One that is being run is dropped when it comes back.
    pub(super) fn remove(&mut self, key: Key) -> Option<Task> {
        self.tasks.remove(&key).flatten()
    }

    /// Forgets any task.
    fn remove_any(&mut self) -> Option<Option<Task>> {
        let key = *self.tasks.keys().next()?;
        self.tasks.remove(&key)
    }
}

impl<H: Bound> Inner<H> {
    /// Runs every task that is to be run now, once.
    pub(super) fn run_tasks(&self) {
        for _ in 0..self.ready.tasks_len() {
            let Some(key) = self.ready.next_task() else {
                return;
            };
            let task = self.tasks.borrow_mut().take_to_run(key);
            if let Some(task) = task {
                self.run(key, task);
            }
        }
    }

    fn run(&self, key: Key, mut task: Task) {
        let over = Forget(self, key);
        task.caller.called.store(false, Ordering::Release);
        let waker = task.waker.clone();
        let polled = task.future.as_mut().poll(&mut Context::from_waker(&waker));
        if polled == Poll::Pending {
            std::mem::forget(over);
            let aborted = self.tasks.borrow_mut().put_back(key, task);
            drop(aborted);
        }
    }

    /// Drops all tasks, those too that they spawn at their end.
    pub(super) fn drop_tasks(&self) {
        DropTasks(self).finish();
    }
}

/// A task that has ended, or unwound, has no place any more.
struct Forget<'a, H: Bound>(&'a Inner<H>, Key);

impl<H: Bound> Drop for Forget<'_, H> {
    fn drop(&mut self) {
        let none_is_there = self.0.tasks.borrow_mut().remove(self.1);
        drop(none_is_there);
    }
}

/// Drops the rest also if one unwinds.
struct DropTasks<'a, H: Bound>(&'a Inner<H>);

impl<H: Bound> DropTasks<'_, H> {
    fn finish(&self) {
        loop {
            let removed = self.0.tasks.borrow_mut().remove_any();
            match removed {
                Some(task) => drop(task),
                None => return,
            }
        }
    }
}

impl<H: Bound> Drop for DropTasks<'_, H> {
    fn drop(&mut self) {
        self.finish();
    }
}
