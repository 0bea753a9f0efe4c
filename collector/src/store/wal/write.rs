//! The commit thread: gathers, writes, syncs, tells.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::disk::LogFile;
use super::frame::{self, SEGMENT_HEAD};
use super::recover::segment_name;
use super::{Marks, Offset, Pending, Shared, WalError, raise};

pub(crate) struct Writer {
    /// Segment being written, and where it begins; none before the first write, and after a failed sync.
    open: Option<(u64, Arc<dyn LogFile>)>,
    /// Offset after the last durable frame.
    end: u64,
    marks: Marks,
    buffer: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(segments: &BTreeMap<u64, Arc<dyn LogFile>>, end: u64, begin_at: u64, marks: Marks) -> Self {
        // A log that ends before what others already know goes on in a new segment at that place.
        let open = segments.last_key_value().filter(|_| end >= begin_at).map(|(base, file)| (*base, Arc::clone(file)));
        Self { open, end: end.max(begin_at), marks, buffer: Vec::new() }
    }

    pub(crate) fn run(mut self, shared: &Shared) {
        loop {
            let group = {
                let mut queue = shared.queue();
                while queue.pending.is_empty() && !queue.closed {
                    queue = shared.arrived.wait(queue).unwrap_or_else(std::sync::PoisonError::into_inner);
                }
                if queue.pending.is_empty() {
                    break;
                }
                if queue.bytes < shared.config.group_bytes && !queue.closed {
                    let enough = |q: &mut super::Queue| q.bytes < shared.config.group_bytes && !q.closed;
                    queue = shared
                        .arrived
                        .wait_timeout_while(queue, shared.config.group_wait, enough)
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .0;
                }
                queue.bytes = 0;
                std::mem::take(&mut queue.pending)
            };
            self.commit(shared, group);
        }
        self.witness(shared);
        shared.published().closed = true;
        shared.advanced.notify_all();
    }

    /// A last frame that says that all before it is on disk, so that damage to the last batch is not taken for a torn tail.
    fn witness(&mut self, shared: &Shared) {
        let Some((base, file)) = &self.open else { return };
        if shared.counters.frames.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.buffer.clear();
        frame::encode_marks(&Marks::new(), self.end, self.end, &mut self.buffer);
        let at = self.end - base + SEGMENT_HEAD as u64;
        if file.write_at(at, &self.buffer).and_then(|()| file.sync()).is_ok() {
            self.end += self.buffer.len() as u64;
            shared.published().durable = self.end;
        }
    }

    fn commit(&mut self, shared: &Shared, group: Vec<Pending>) {
        match self.write(shared, &group) {
            Ok(ends) => {
                for p in &group {
                    raise(&mut self.marks, &p.frame);
                }
                let c = &shared.counters;
                c.frames.fetch_add(group.len() as u64, Ordering::Relaxed);
                c.bytes.fetch_add(self.buffer.len() as u64, Ordering::Relaxed);
                {
                    let mut published = shared.published();
                    published.durable = self.end;
                    for p in &group {
                        raise(&mut published.marks, &p.frame);
                    }
                }
                shared.advanced.notify_all();
                for (p, end) in group.into_iter().zip(ends) {
                    let _ = p.done.send(Ok(Offset(end)));
                }
            }
            Err(e) => {
                shared.counters.refused.fetch_add(group.len() as u64, Ordering::Relaxed);
                for p in group {
                    let _ = p.done.send(Err(e.clone()));
                }
            }
        }
    }

    /// Writes and syncs a group; the offsets after each frame. On an error nothing of it is in the log.
    fn write(&mut self, shared: &Shared, group: &[Pending]) -> Result<Vec<u64>, WalError> {
        let mut again = true;
        loop {
            let (base, file) = self.segment(shared)?;
            let mut ends = Vec::with_capacity(group.len());
            self.buffer.clear();
            for p in group {
                frame::encode(&p.frame, self.end + self.buffer.len() as u64, self.end, &mut self.buffer);
                ends.push(self.end + self.buffer.len() as u64);
            }
            let at = self.end - base + SEGMENT_HEAD as u64;
            let path = || shared.disk.path().join(segment_name(base));
            if let Err(e) = file.write_at(at, &self.buffer) {
                shared.counters.failures.fetch_add(1, Ordering::Relaxed);
                if file.cut(at).is_err() {
                    self.open = None;
                }
                return Err(WalError::io("write", &path(), &e));
            }
            let timed = shared.sync_seconds.get().map(|histogram| (histogram, crate::clock::instant()));
            let synced = file.sync();
            if let Some((histogram, started)) = timed {
                histogram.observe(started.elapsed().as_secs_f64());
            }
            match synced {
                Ok(()) => {
                    shared.counters.syncs.fetch_add(1, Ordering::Relaxed);
                    self.end += self.buffer.len() as u64;
                    return Ok(ends);
                }
                Err(e) => {
                    // The kernel may have dropped the dirty pages and will call the next sync a success: never write here again.
                    shared.counters.failures.fetch_add(1, Ordering::Relaxed);
                    let _ = file.cut(at);
                    self.open = None;
                    if !std::mem::take(&mut again) {
                        return Err(WalError::io("sync", &path(), &e));
                    }
                }
            }
        }
    }

    fn segment(&mut self, shared: &Shared) -> Result<(u64, Arc<dyn LogFile>), WalError> {
        if let Some((base, file)) = &self.open
            && self.end - base < shared.config.segment_bytes
        {
            return Ok((*base, Arc::clone(file)));
        }
        let base = self.end;
        let name = segment_name(base);
        let mut bytes = frame::segment_head(base).to_vec();
        let head = bytes.len();
        frame::encode_marks(&self.marks, base, base, &mut bytes);
        let length = (bytes.len() - head) as u64;
        let made = shared.disk.create(&name).and_then(|file| {
            let made = file.write_at(0, &bytes).and_then(|()| file.sync()).and_then(|()| shared.disk.sync());
            match made {
                Ok(()) => Ok(file),
                Err(e) => {
                    drop(file);
                    let _ = shared.disk.remove(&name);
                    Err(e)
                }
            }
        });
        let file: Arc<dyn LogFile> = made
            .or_else(|e| leftover(shared, &name, e, &bytes))
            .map_err(|e| WalError::io("begin", &shared.disk.path().join(&name), &e))?
            .into();
        self.end += length;
        self.open = Some((base, Arc::clone(&file)));
        let mut published = shared.published();
        published.segments.insert(base, Arc::clone(&file));
        published.durable = self.end;
        Ok((base, file))
    }
}

/// A segment of this name that could not be removed after an earlier failure holds nothing acknowledged: begin it again.
fn leftover(shared: &Shared, name: &str, e: io::Error, bytes: &[u8]) -> io::Result<Box<dyn LogFile>> {
    if e.kind() != io::ErrorKind::AlreadyExists {
        return Err(e);
    }
    let file = shared.disk.open(name)?;
    file.cut(0)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    shared.disk.sync()?;
    Ok(file)
}
