def test_a_user_is_made_with_roles_and_without_showing_the_password(stepwell):
    made = stepwell(
        "users", "create", "ann@example.com", "-r", "operator", "-r", "approver", "--json", stdin="long enough!"
    )
    assert made.code == 0
    assert made.json["roles"] == ["operator", "approver"]
    listed = stepwell("users", "list", "--json")
    assert "ann@example.com" in {user["email"] for user in listed.json}
    assert "password" not in listed.out


def test_what_is_wrong_with_a_user_is_told(stepwell):
    assert stepwell("users", "create", "ben@example.com", "-r", "operator", stdin="short").code == 2
    assert stepwell("users", "create", "nobody", "-r", "operator", stdin="long enough!").code == 2
    assert stepwell("users", "create", "ben@example.com", "-r", "king", stdin="long enough!").code == 2
    assert stepwell("users", "create", "ben@example.com", "-r", "viewer", stdin="long enough!").code == 0
    again = stepwell("users", "create", "BEN@example.com", "-r", "viewer", stdin="long enough!")
    assert again.code == 1
    assert "already" in again.err


def test_a_tenant_gets_an_administrator_whose_password_is_shown_once(stepwell):
    made = stepwell("tenants", "create", "acme", "--admin", "root@acme.example", "--json")
    assert len(made.json["password"]) >= 20
    assert stepwell("tenants", "create", "acme", "--admin", "root@acme.example").code == 1
    assert [user["email"] for user in stepwell("users", "list", "-t", "acme", "--json").json] == ["root@acme.example"]
    assert "acme" in {tenant["id"] for tenant in stepwell("tenants", "list", "--json").json}


def test_a_tenants_id_must_be_a_slug(stepwell):
    for bad in ("A", "a b", "*", "-a"):
        assert stepwell("tenants", "create", "--admin", "a@b.example", "--", bad).code == 2
