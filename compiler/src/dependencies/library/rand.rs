
/// Else the thread's generator would give the numbers again that it gave after the snapshot.
fn chorus_reseed() {
    drop(rand::rng().reseed());
}
