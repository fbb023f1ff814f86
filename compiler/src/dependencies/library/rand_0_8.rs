
/// It begins anew when it has used up what it has at hand: 64 numbers of 32 bits.
fn chorus_reseed() {
    rand::RngCore::fill_bytes(&mut rand::thread_rng(), &mut [0; 256]);
}
