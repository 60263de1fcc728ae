//! The postgres layer against a real server.

mod support;

use strongroom::postgres::Session;

#[tokio::test]
async fn the_fixture_loads() {
    let database = support::everything().await;
    let session: Session = database.session().await;
    let schema = strongroom::postgres::describe(&session).await.unwrap();
    println!("{}", serde_json::to_string_pretty(&schema).unwrap());
}
