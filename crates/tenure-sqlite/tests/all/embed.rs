//! The program that the guide to embedding shows does what it should, twice.

#[expect(dead_code, reason = "its `main` is for a person")]
#[path = "../../examples/embed.rs"]
mod example;

#[tokio::test]
async fn the_example_of_embedding_runs_and_runs_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tenants.db");
    example::keep(&file).await.unwrap();
    example::keep(&file).await.unwrap();
}
