//! The suite on the model, which every case must agree with before it judges an adapter.

use tenure::conformance::{MemoryFactory, store_conformance};

store_conformance!(MemoryFactory);
